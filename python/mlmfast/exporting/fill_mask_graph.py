"""fill_mask.onnx: mask positions in, best tokens out; the head runs on the masked rows only."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.exporting.architectures import max_graph_length
from mlmfast.exporting.graph.last_layer import GatherMotion, push_gather_up
from mlmfast.exporting.graph.session import open_in_memory
from mlmfast.exporting.graph.shared_weights import tie_decoder
from mlmfast.exporting.graph.split_matmul import split_products
from mlmfast.exporting.graph.topk_outputs import add_topk_outputs
from mlmfast.exporting.tracing import (
    LAYOUTS,
    OPSET,
    ROWS,
    Logits,
    RowLogits,
    example_inputs,
    find_layout,
    input_names,
    trace,
)
from mlmfast.torch_models import text_config

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

FUSED = "fill_mask.onnx"
_FORMAT = "1"
_PROBED = 300

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fused:
    """How fill_mask.onnx was built.

    Attributes:
        inputs: the inputs of the model itself, such as `("input_ids", "attention_mask")`.
        layout: how the head gets the masked rows, one of `tracing.LAYOUTS`; "after the head" means
            that the head runs on every token.
        vocab_size: the size of the vocabulary.
        moved: the operators of the last layer that run on the masked rows only.
    """

    inputs: tuple[str, ...]
    layout: str
    vocab_size: int
    moved: GatherMotion

    @property
    def head(self) -> str:
        """Where the head runs: "masked rows" or "all rows"."""
        return "all rows" if self.layout == LAYOUTS[-1] else "masked rows"


def write_fill_mask_graph(
    model: Any,
    path: str | Path,
    *,
    inputs: Sequence[str] | None = None,
    opset: int = OPSET,
    split: bool = True,
) -> Fused:
    """Trace `model` into the fused graph, with its weights inside the file.

    The graph takes `input_ids` int64 [batch, length], with it `attention_mask` and `token_type_ids`
    of the same form where `inputs` names them, and

    - `mask_positions` int64 [masks]: row * length + column, at least one, in any order;
    - `top_k` int64 scalar, 0 to the vocabulary; `targets` int64 [n], which may be empty;
      `want_probabilities` bool scalar;

    and gives `scores` float32 [masks, top_k] descending, `tokens` int64 [masks, top_k] (of equal
    scores the lower id first), `target_scores` float32 [masks, n], and `probabilities` float32
    [masks, vocabulary], or [0, vocabulary] if they are not requested.

    Args:
        model: a masked language model of transformers on the CPU, float32, in evaluation mode,
            loaded with `attn_implementation="eager"`.
        path: the file to write.
        inputs: the model's own inputs; None: those that `tracing.input_names` returns.
        opset: ONNX operator set, 17 to 20.
        split: whether to split products where that is faster in float32; see `split_matmul`.

    Raises:
        MlmfastError: the tracer cannot write this model.
    """
    names = tuple(inputs or input_names(model))
    layout = find_layout(model, names)
    wrapper = RowLogits(model, names, layout)
    graph = trace_to_model(wrapper, names, opset=opset)
    moved = GatherMotion() if layout == LAYOUTS[-1] else _take_rows_early(graph, wrapper, names)
    if moved is None:
        moved, graph = GatherMotion(), trace_to_model(wrapper, names, opset=opset)
    vocab_size = _vocab_size(model)
    taken = [entry.name for entry in graph.graph.input]  # the tracer drops what is not used
    tie_decoder(graph)
    if split:
        split_products(graph)
    add_topk_outputs(graph, vocab_size)
    save_graph(graph, path)
    return Fused(tuple(name for name in names if name in taken), layout, vocab_size, moved)


def write_logits(
    model: Any,
    path: str | Path,
    *,
    inputs: Sequence[str] | None = None,
    opset: int = OPSET,
) -> tuple[str, ...]:
    """Trace `model` into a graph with the inputs and the output of Optimum's model.onnx.

    Args:
        model: as for `write_fill_mask_graph`.
        path: the file to write.
        inputs: as for `write_fill_mask_graph`.
        opset: as for `write_fill_mask_graph`.

    Returns:
        The inputs.

    Raises:
        MlmfastError: the tracer cannot write this model.
    """
    names = tuple(inputs or input_names(model))
    graph = trace_to_model(Logits(model, names), names, opset=opset)
    tie_decoder(graph)
    save_graph(graph, path)
    return names


def trace_to_model(wrapper: Logits, names: Sequence[str], *, opset: int = OPSET) -> onnx.ModelProto:
    """Trace into memory, through a temporary folder."""
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traced.onnx"
        trace(wrapper, path, names, opset=opset)
        return onnx.load(str(path))


def _take_rows_early(
    graph: onnx.ModelProto, wrapper: RowLogits, names: Sequence[str]
) -> GatherMotion | None:
    """Let the last layer run on the masked rows; None if that breaks the graph."""
    max_length = max_graph_length(wrapper.model)
    try:
        moved = push_gather_up(graph, max_length)
        return (
            moved if _agrees(graph, wrapper, names, min(max_length or _PROBED, _PROBED)) else None
        )
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no base but this
        logger.info("The last layer stays whole: %s", error)
        return None


def _agrees(graph: onnx.ModelProto, wrapper: RowLogits, names: Sequence[str], length: int) -> bool:
    """Whether the graph has PyTorch's logits at a length other than the traced one."""
    import torch

    shape = (3, length)
    inputs = example_inputs(wrapper.model, names, shape)
    inputs[ROWS] = torch.tensor([length + 2, length - 5, 1, length + 3])  # none of the last text
    session = open_in_memory(graph)
    taken = [entry.name for entry in session.get_inputs()]
    actual = session.run(None, {name: inputs[name].numpy() for name in taken})[0]
    with torch.no_grad():
        expected = wrapper(*inputs.values()).numpy()
    limit = 1e-4 * max(1.0, float(np.abs(expected).max()))
    return actual.shape == expected.shape and bool(np.abs(actual - expected).max() <= limit)


def save_graph(graph: onnx.ModelProto, path: str | Path) -> None:
    """Write a graph with its weights, which are in a second file if they exceed 2 GB."""
    import onnx

    path = Path(path)
    large = sum(len(tensor.raw_data) for tensor in graph.graph.initializer) > 2**31 - 2**24
    onnx.save(graph, str(path), save_as_external_data=large, location=f"{path.name}_data")


def write_metadata(
    path: str | Path,
    *,
    vocab_size: int,
    precision: str,
    padding_sensitive: bool,
    max_length: int | None,
    **further: str,
) -> None:
    """Write into the metadata of fill_mask.onnx or sparse.onnx what the engine needs to know.

    Args:
        path: the file; its weights are in another file, which does not change.
        vocab_size: the size of the vocabulary.
        precision: "fp32", "fp16", "int8" or "int8-block".
        padding_sensitive: whether padding changes the predictions.
        max_length: tokens a text may have; None: no limit.
        **further: what only one kind of graph has.
    """
    import onnx
    from onnx import helper

    graph = onnx.load(str(path), load_external_data=False)
    values = {
        "format": _FORMAT,
        "vocab_size": str(vocab_size),
        "precision": precision,
        "padding_shows": "1" if padding_sensitive else "0",
        "longest": "" if max_length is None else str(max_length),
        **further,
    }
    helper.set_model_props(graph, {f"mlmfast.{key}": value for key, value in values.items()})
    Path(path).write_bytes(graph.SerializeToString())


def _vocab_size(model: Any) -> int:
    head = model.get_output_embeddings()
    return int(text_config(model.config).vocab_size if head is None else len(head.weight))
