"""Tiny sparse encoders: checkpoints as sentence-transformers saves them, and what they compute."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

TYPES = {
    "transformer": "sentence_transformers.base.modules.transformer.Transformer",
    "pooling": "sentence_transformers.sparse_encoder.modules.splade_pooling.SpladePooling",
    "table": (
        "sentence_transformers.sparse_encoder.modules.sparse_static_embedding.SparseStaticEmbedding"
    ),
    "router": "sentence_transformers.base.modules.router.Router",
}

# Without it, the peer's Transformer gives hidden states and no logits.
FILL_MASK = {
    "transformer_task": "fill-mask",
    "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
    "module_output_name": "token_embeddings",
}


def save_modules(checkpoint: Path, folder: Path, pooling="max", activation="relu") -> Path:
    """Copy a checkpoint, and add the files of Transformer and SpladePooling."""
    shutil.copytree(checkpoint, folder)
    chain = [("", TYPES["transformer"]), ("1_SpladePooling", TYPES["pooling"])]
    write_json(folder / "modules.json", _modules(chain))
    write_json(folder / "sentence_bert_config.json", FILL_MASK)
    write_json(
        folder / "1_SpladePooling" / "config.json",
        {
            "pooling_strategy": pooling,
            "activation_function": activation,
            # The peer asks for it when it opens the folder.
            "embedding_dimension": json.loads((folder / "config.json").read_text())["vocab_size"],
        },
    )
    return folder


def save_router(checkpoint: Path, folder: Path, weights: np.ndarray | None, **pooling) -> Path:
    """Save a Router: SparseStaticEmbedding for queries, the checkpoint for documents."""
    from safetensors.numpy import save_file

    shutil.copytree(checkpoint, folder / "document_0_Transformer")
    write_json(folder / "document_0_Transformer" / "sentence_bert_config.json", FILL_MASK)
    names = ("query_0_SparseStaticEmbedding", "document_0_Transformer", "document_1_SpladePooling")
    write_json(folder / "modules.json", _modules([("", TYPES["router"])]))
    write_json(
        folder / "router_config.json",
        {
            "types": dict(
                zip(names, (TYPES[n] for n in ("table", "transformer", "pooling")), strict=True)
            ),
            "structure": {"query": [names[0]], "document": [*names[1:]]},
        },
    )
    write_json(folder / names[0] / "config.json", {"frozen": True})
    write_json(folder / names[2] / "config.json", pooling)
    if weights is not None:
        save_file({"weight": weights}, folder / names[0] / "model.safetensors")
    return folder


def expected_vectors(checkpoint: Path, texts, pooling="max", activation="relu") -> np.ndarray:
    """Compute with PyTorch what SpladePooling is documented to give, [texts, vocabulary]."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForMaskedLM.from_pretrained(checkpoint).eval()
    vectors = []
    for text in texts:  # one by one, without padding
        batch = tokenizer(text, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            weights = model(**batch).logits[0].relu().log1p()
        weights = weights.log1p() if activation == "log1p_relu" else weights
        vectors.append(weights.amax(0) if pooling == "max" else weights.sum(0))
    return torch.stack(vectors).numpy()


def write_json(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _modules(chain):
    return [
        {"idx": number, "name": str(number), "path": path, "type": kind}
        for number, (path, kind) in enumerate(chain)
    ]
