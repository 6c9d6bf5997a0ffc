"""fill_mask.onnx: mask positions in, best tokens out, the head on the masked rows only."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.exporting.answers import append_answers
from mlmfast.exporting.last_layer import Moved, take_rows_early
from mlmfast.exporting.parity import longest_input
from mlmfast.exporting.tracing import (
    LAYOUTS,
    OPSET,
    Logits,
    RowLogits,
    find_layout,
    input_names,
    trace,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

FUSED = "fill_mask.onnx"
FORMAT = "1"


@dataclass(frozen=True)
class Fused:
    """What became of a model in its fused graph.

    Attributes:
        inputs: the inputs that are the model's own, such as `("input_ids", "attention_mask")`.
        layout: how its head takes the masked rows, one of `tracing.LAYOUTS`; "after the head" means
            that the head runs on every token.
        vocab_size: scores a mask has.
        moved: what of the last layer runs on the masked rows only.
    """

    inputs: tuple[str, ...]
    layout: str
    vocab_size: int
    moved: Moved


def write_fused(
    model: Any,
    path: str | Path,
    *,
    inputs: Sequence[str] | None = None,
    opset: int = OPSET,
) -> Fused:
    """Trace `model` into the fused graph, with its weights inside the file.

    The graph takes `input_ids` int64 [batch, length], with it `attention_mask` and `token_type_ids`
    of the same form where `inputs` names them, and

    - `mask_positions` int64 [masks]: row * length + column, at least one, in any order;
    - `top_k` int64 scalar, 0 to the vocabulary; `targets` int64 [n], which may be empty;
      `want_probabilities` bool scalar;

    and gives `scores` float32 [masks, top_k] descending, `tokens` int64 [masks, top_k] (of equal
    scores the lower id first), `target_scores` float32 [masks, n], and `probabilities` float32
    [masks, vocabulary], or [0, vocabulary] where they are not wanted.

    Args:
        model: a masked language model of transformers on the CPU, float32, in evaluation mode,
            loaded with `attn_implementation="eager"`.
        path: the file to write.
        inputs: the model's own inputs; None: what `tracing.input_names` finds.
        opset: ONNX operator set, 17 to 20.

    Raises:
        MlmfastError: the tracer cannot write this model.
    """
    import onnx

    names = tuple(inputs or input_names(model))
    layout = find_layout(model, names)
    graph = traced(RowLogits(model, names, layout), names, opset=opset)
    moved = take_rows_early(graph, longest_input(model)) if layout != LAYOUTS[-1] else Moved()
    vocab_size = _vocab_size(model)
    append_answers(graph, vocab_size)
    onnx.save(graph, str(path))
    return Fused(names, layout, vocab_size, moved)


def write_logits(
    model: Any,
    path: str | Path,
    *,
    inputs: Sequence[str] | None = None,
    opset: int = OPSET,
) -> tuple[str, ...]:
    """Trace `model` into a graph with the inputs and the output of Optimum's model.onnx.

    Args:
        model: as for `write_fused`.
        path: the file to write.
        inputs: as for `write_fused`.
        opset: as for `write_fused`.

    Returns:
        The inputs.

    Raises:
        MlmfastError: the tracer cannot write this model.
    """
    import onnx

    names = tuple(inputs or input_names(model))
    onnx.save(traced(Logits(model, names), names, opset=opset), str(path))
    return names


def traced(wrapper: Logits, names: Sequence[str], *, opset: int = OPSET) -> onnx.ModelProto:
    """Trace into memory, by way of a temporary folder."""
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traced.onnx"
        trace(wrapper, path, names, opset=opset)
        return onnx.load(str(path))


def _vocab_size(model: Any) -> int:
    head = model.get_output_embeddings()
    return int(model.config.vocab_size if head is None else len(head.weight))
