"""model.onnx as Optimum's exporter writes it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from mlmfast.errors import MissingDependencyError, MlmfastError, first_sentence
from mlmfast.exporting.architectures import register_architectures

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.exporting.checkpoint import Checkpoint

_INSTALL = "pip install 'mlmfast[optimum]'"


def require() -> None:
    """Check that the exporter can be imported with the installed transformers.

    Raises:
        MissingDependencyError: it cannot.
    """
    try:
        version("optimum-onnx")
    except PackageNotFoundError as error:
        raise MissingDependencyError(
            f"The exporter optimum is not installed: {_INSTALL}"
        ) from error
    try:
        import optimum.exporters.onnx  # noqa: F401 - an incompatible transformers shows here
    except ImportError as error:
        raise MissingDependencyError(
            f"The exporter optimum cannot be imported with transformers {version('transformers')} "
            f"({first_sentence(error)}); {_INSTALL} brings versions that go together."
        ) from error


def write(checkpoint: Checkpoint, graph: Path, opset: int | None) -> None:
    """Write `graph`, and what else Optimum writes beside it.

    Args:
        checkpoint: the checkpoint.
        graph: the file to write, called model.onnx.
        opset: ONNX operator set; None: the one that Optimum chooses for the model type.

    Raises:
        MlmfastError: Optimum does not write this model as one graph.
    """
    from optimum.exporters.onnx import onnx_export_from_model

    register_architectures()
    try:
        onnx_export_from_model(
            checkpoint.model,
            graph.parent,
            opset=opset,
            task="fill-mask",
            do_validation=False,
        )
    except Exception as error:  # whatever stops Optimum
        raise MlmfastError(
            f"Optimum cannot export {checkpoint.name}: {first_sentence(error)}"
        ) from error
    if not graph.is_file():
        names = ", ".join(sorted(file.name for file in graph.parent.glob("*.onnx"))) or "no graph"
        raise MlmfastError(
            f"Optimum cannot export {checkpoint.name}: it wrote {names}, not one {graph.name}."
        )
