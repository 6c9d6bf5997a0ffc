"""model.onnx: written by Optimum if it knows the model type, else by mlmfast's own tracing."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from mlmfast.errors import MlmfastError, first_sentence
from mlmfast.exporting.architectures import register_architectures
from mlmfast.exporting.checkpoint import Checkpoint
from mlmfast.exporting.fill_mask_graph import write_logits
from mlmfast.exporting.tracing import MAX_OPSET, OPSET

if TYPE_CHECKING:
    from pathlib import Path

GRAPH = "model.onnx"


class Written(NamedTuple):
    """How model.onnx was written.

    Attributes:
        exporter: "optimum" or "mlmfast".
        remark: why it was not Optimum; "" if it was.
    """

    exporter: str
    remark: str = ""


def write_model_graph(checkpoint: Checkpoint, folder: Path, opset: int | None) -> Written:
    """Write model.onnx, config.json and whatever else Optimum writes into `folder`.

    Raises:
        MlmfastError: Optimum does not write this model, and neither can our own tracer.
    """
    if not has_optimum():
        reason = "Optimum is not installed."
    else:
        reason = _by_optimum(checkpoint, folder, opset)
        if not reason:
            return Written("optimum")
        for file in folder.iterdir():
            file.unlink()
    try:
        write_logits(checkpoint.model, folder / GRAPH, opset=min(opset or OPSET, MAX_OPSET))
    except MlmfastError as error:
        raise MlmfastError(
            f"{checkpoint.name} cannot be exported. {first_sentence(error)} Nor does Optimum "
            f"write it: {reason}"
        ) from error
    checkpoint.model.config.save_pretrained(folder)
    return Written("mlmfast", reason)


def has_optimum() -> bool:
    """Whether Optimum's exporter can be imported with the installed transformers."""
    try:
        return find_spec("optimum.exporters.onnx") is not None and _imports()
    except (ImportError, ValueError):
        return False


def _imports() -> bool:
    import optimum.exporters.onnx  # noqa: F401 - an incompatible transformers shows here

    return True


def _by_optimum(checkpoint: Checkpoint, folder: Path, opset: int | None) -> str:
    """Let Optimum write the graph; return "", or why it could not."""
    from optimum.exporters.onnx import main_export

    register_architectures()
    given: dict[str, Any] = {"opset": opset, "do_validation": False}
    try:
        # library_name: otherwise Optimum exports a sentence-transformers folder for another task.
        main_export(checkpoint.name, folder, task="fill-mask", library_name="transformers", **given)
    except Exception as error:  # noqa: BLE001 - whatever stops Optimum, our tracer comes next
        return f"Optimum cannot: {first_sentence(error)}"
    if not (folder / GRAPH).is_file():
        names = ", ".join(sorted(file.name for file in folder.glob("*.onnx"))) or "no graph"
        return f"Optimum wrote {names} instead of one {GRAPH}."
    return ""
