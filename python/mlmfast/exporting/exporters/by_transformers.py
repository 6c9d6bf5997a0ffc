"""model.onnx as `transformers.exporters` writes it, which came with transformers 5.23."""

from __future__ import annotations

import io
import logging
import tempfile
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError, MissingDependencyError, MlmfastError, first_sentence
from mlmfast.exporting.fill_mask_graph import save_graph
from mlmfast.exporting.graph.graph import Graph
from mlmfast.exporting.graph.shared_weights import tie_decoder
from mlmfast.exporting.tracing import IDS, LOGITS, example_inputs, input_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

    from mlmfast.exporting.checkpoint import Checkpoint

_FIRST = (5, 23)
_LOWEST_OPSET = 18  # torch.export's translations are written in it


def require(opset: int | None = None) -> None:
    """Check that the exporter is there, and that it can write the operator set.

    Raises:
        MissingDependencyError: transformers is too old, or onnxscript is not installed.
        InputError: `opset` is below 18.
    """
    lacks = [*_old_transformers(), *_no_onnxscript()]
    if lacks:
        raise MissingDependencyError(
            f"The exporter transformers needs transformers >= 5.23 and onnxscript, and "
            f"{' and '.join(lacks)}: pip install 'transformers>=5.23' onnxscript"
        )
    if opset is not None and opset < _LOWEST_OPSET:
        raise InputError(
            f"The exporter transformers writes opset {_LOWEST_OPSET} and later, and opset is "
            f"{opset}."
        )


def _old_transformers() -> Iterator[str]:
    found = version("transformers")
    if tuple(int(part) for part in found.split(".")[:2]) < _FIRST:
        yield f"transformers {found} is installed"


def _no_onnxscript() -> Iterator[str]:
    try:
        version("onnxscript")
    except PackageNotFoundError:
        yield "onnxscript is not installed"


def write(checkpoint: Checkpoint, graph: Path, opset: int | None) -> None:
    """Write `graph`, with its weights inside, and with the logits as its only output.

    Args:
        checkpoint: the checkpoint.
        graph: the file to write.
        opset: ONNX operator set, from 18; None: the one that the exporter chooses.

    Raises:
        MlmfastError: the exporter does not write this model.
    """
    model = checkpoint.model
    try:
        proto = export_model(model, opset_version=opset)
    except Exception as error:  # torch.export raises what the model's own code raises, and its own
        raise MlmfastError(
            f"transformers.exporters cannot export {checkpoint.name}: {first_sentence(error)}"
        ) from error
    tie_decoder(proto)
    save_graph(proto, graph)


def export_model(model: Any, **options: Any) -> onnx.ModelProto:
    """Export `model` with batch and length free; what is no logits is left out.

    Args:
        model: a masked language model of transformers.
        **options: further fields of transformers' OnnxConfig.
    """
    import onnx
    from torch.export import Dim
    from transformers.exporters import OnnxConfig, OnnxExporter

    names = input_names(model)
    inputs = example_inputs(model, names)
    main = getattr(model, "main_input_name", IDS)  # Perceiver's is `inputs`
    inputs[main] = inputs.pop(IDS)
    with tempfile.TemporaryDirectory() as place, _silent():
        free = {name: {0: Dim.AUTO, 1: Dim.AUTO} for name in inputs}
        config = OnnxConfig(dynamic_shapes=free, **options)
        OnnxExporter().export(model, inputs, config).save_pretrained(place)
        proto = onnx.load(str(Path(place) / "model.onnx"))
    _keep_logits(proto)
    _rename_axes(proto)
    _rename_input(proto, main)
    _without_origins(proto)
    return proto


def _keep_logits(proto: onnx.ModelProto) -> None:
    """Drop the other outputs (hidden states, keys and values) with what computes them alone."""
    others = [entry for entry in proto.graph.output if entry.name != LOGITS]
    if len(others) == len(proto.graph.output):
        raise ValueError(f"The graph has no output called {LOGITS}.")
    for entry in others:
        proto.graph.output.remove(entry)
    Graph(proto).finish()


def _rename_axes(proto: onnx.ModelProto) -> None:
    for entry in (*proto.graph.input, *proto.graph.output):
        for axis, name in zip(entry.type.tensor_type.shape.dim, ("batch", "length"), strict=False):
            if axis.dim_param:
                axis.dim_param = name


def _rename_input(proto: onnx.ModelProto, main: str) -> None:
    if main == IDS:
        return
    next(entry for entry in proto.graph.input if entry.name == main).name = IDS
    Graph(proto).replace_uses(main, IDS)


def _without_origins(proto: onnx.ModelProto) -> None:
    """Remove the stack traces, with paths of this machine in them, that every node carries."""
    proto.ClearField("metadata_props")
    proto.graph.ClearField("metadata_props")
    for part in (*proto.graph.node, *proto.graph.input, *proto.graph.output):
        part.ClearField("metadata_props")
    for tensor in proto.graph.initializer:
        tensor.ClearField("metadata_props")


@contextmanager
def _silent() -> Iterator[None]:
    """Keep torch.onnx from printing its progress, and from warning of what it does without."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
