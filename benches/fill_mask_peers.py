"""How P6's peers load a model and fill its masks, and how they write their own form of it.

`python benches/fill_mask_peers.py FORM CHECKPOINT FOLDER TEXTS` writes OpenVINO's form of a
checkpoint, in `fp32`, `int8-weights`, `int8` or `int8-reduced` (weights of seven bits); TEXTS, a
list in JSON, calibrate the last two.

It imports nothing of the other benches: the peers have other packages on their path.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Answers = list[list[dict[str, Any]]]
One = Callable[[str], Any]
Many = Callable[..., Answers]
"""Takes texts, texts a batch, and answers a text."""
VLLM_MEMORY = 0.2
"""The share of the machine's memory that vLLM may reserve."""


def load(way: str, folder: str) -> tuple[One, Many]:
    """How a peer answers one text, and how it answers many in batches of a size."""
    if way == "faster-clip":
        return faster_clip(folder)
    if way == "vllm":
        return vllm(folder)
    from transformers import AutoTokenizer, pipeline

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = pipeline_model(way, folder)
    # What transformers has quantized is where it belongs, and the pipeline must not move it.
    place = {} if way in ("torchao", "quanto") else {"device": "cpu"}
    theirs = pipeline("fill-mask", model=model, tokenizer=tokenizer, **place)
    return theirs, lambda texts, batch, top_k=5: theirs(texts, batch_size=batch, top_k=top_k)


def pipeline_model(way: str, folder: str) -> Any:
    """What the pipeline of transformers is given: a model, or the folder of a checkpoint."""
    if way == "optimum":
        from optimum.onnxruntime import ORTModelForMaskedLM

        return ORTModelForMaskedLM.from_pretrained(folder)
    if way.startswith("openvino"):
        from optimum.intel import OVModelForMaskedLM

        hint = {"INFERENCE_PRECISION_HINT": way.partition(" ")[2]}
        return OVModelForMaskedLM.from_pretrained(folder, ov_config=hint)
    if way in ("torchao", "quanto"):
        return quantized_by_transformers(way, folder)
    return folder


def quantized_by_transformers(way: str, folder: str) -> Any:
    """A model that transformers quantizes while it loads the checkpoint."""
    import torch
    from transformers import AutoModelForMaskedLM, QuantoConfig, TorchAoConfig

    if way == "torchao":
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig

        config: Any = TorchAoConfig(Int8DynamicActivationInt8WeightConfig())
    else:
        config = QuantoConfig(weights="int8")
    return AutoModelForMaskedLM.from_pretrained(
        folder, quantization_config=config, device_map="cpu", dtype=torch.float32
    )


def vllm(folder: str) -> tuple[One, Many]:
    """As `load`: it returns the probabilities of all words at every token."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    from transformers import AutoTokenizer
    from vllm import LLM

    mask = AutoTokenizer.from_pretrained(folder).mask_token_id
    theirs = LLM(
        model=folder, runner="pooling", dtype="float32", gpu_memory_utilization=VLLM_MEMORY
    )

    def many(texts: list[str], batch: int, top_k: int = 5) -> Answers:
        found = []
        for start in range(0, len(texts), batch):
            group = texts[start : start + batch]
            for output in theirs.encode(group, pooling_task="token_classify", use_tqdm=False):
                best = output.outputs.data[output.prompt_token_ids.index(mask)].topk(top_k)
                rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
                found.append([{"token": token, "score": score} for token, score in rows])
        return found

    return lambda text: many([text], 1), many


def faster_clip(folder: str) -> tuple[One, Many]:
    """As `load`: it looks for folders of known names in its cache, and answers text by text."""
    os.environ["FASTER_CLIP_CACHE"] = str(Path(folder).parent)
    from faster_clip import FillMask
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    theirs = FillMask()

    def one(text: str, top_k: int = 5) -> list[dict[str, Any]]:
        rows = theirs.predict(text, lang="en", top_k=top_k)
        return [{**row, "token": tokenizer.token_to_id(row["token_str"])} for row in rows]

    return one, lambda texts, _, top_k=5: [one(text, top_k) for text in texts]


def convert(form: str, checkpoint: str, folder: str, texts: str) -> None:
    """Write OpenVINO's form of a checkpoint, with its tokenizer."""
    from optimum.intel import OVModelForMaskedLM, OVWeightQuantizationConfig
    from transformers import AutoTokenizer

    weights = OVWeightQuantizationConfig(bits=8) if form == "int8-weights" else None
    model = OVModelForMaskedLM.from_pretrained(checkpoint, export=True, quantization_config=weights)
    if form in ("int8", "int8-reduced"):
        calibrate(model, checkpoint, folder, texts, reduced=form == "int8-reduced")
    else:
        model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(checkpoint).save_pretrained(folder)


def calibrate(model: Any, checkpoint: str, folder: str, texts: str, *, reduced: bool) -> None:
    """Let NNCF quantize weights and activations, with its own choice of masks in the texts."""
    from datasets import Dataset
    from optimum.intel import OVConfig, OVQuantizationConfig, OVQuantizer

    given = json.loads(Path(texts).read_bytes())
    config = OVQuantizationConfig(
        bits=8,
        num_samples=len(given),
        tokenizer=checkpoint,
        overflow_fix="enable" if reduced else "disable",
    )
    OVQuantizer.from_pretrained(model).quantize(
        ov_config=OVConfig(quantization_config=config),
        calibration_dataset=Dataset.from_dict({"text": given}),
        save_directory=folder,
    )


if __name__ == "__main__":
    convert(*sys.argv[1:])
