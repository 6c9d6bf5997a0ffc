"""model.onnx: written by mlmfast's own tracing, or by another exporter that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmfast.errors import MlmfastError, first_sentence
from mlmfast.exporting.exporters import by_optimum, by_transformers
from mlmfast.exporting.fill_mask_graph import write_logits
from mlmfast.exporting.tracing import MAX_OPSET, OPSET

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.exporting.checkpoint import Checkpoint

GRAPH = "model.onnx"


def require_exporter(exporter: str, opset: int | None) -> None:
    """Check that an exporter is installed, and that it can write the operator set.

    Args:
        exporter: one of `report.EXPORTERS`.
        opset: ONNX operator set; None: any.

    Raises:
        MissingDependencyError: it is not installed, or not with versions that it takes.
        InputError: it cannot write this operator set.
    """
    if exporter == "optimum":
        by_optimum.require()
    elif exporter == "transformers":
        by_transformers.require(opset)


def write_model_graph(
    checkpoint: Checkpoint, folder: Path, opset: int | None, exporter: str = "mlmfast"
) -> None:
    """Write model.onnx and config.json, and whatever else the exporter writes, into `folder`.

    Args:
        checkpoint: the checkpoint.
        folder: where to write them.
        opset: ONNX operator set; None: the one that the exporter chooses.
        exporter: as for `require_exporter`.

    Raises:
        MlmfastError: the exporter cannot write this model.
    """
    graph = folder / GRAPH
    if exporter == "mlmfast":
        try:
            write_logits(checkpoint.model, graph, opset=min(opset or OPSET, MAX_OPSET))
        except MlmfastError as error:
            raise MlmfastError(
                f"{checkpoint.name} cannot be exported. {first_sentence(error)}"
            ) from error
    else:
        module = by_optimum if exporter == "optimum" else by_transformers
        try:
            module.write(checkpoint, graph, opset)
        except MlmfastError as error:
            raise MlmfastError(
                f"{error} mlmfast's own exporter is the default: leave out --exporter."
            ) from error
    checkpoint.model.config.save_pretrained(folder)
