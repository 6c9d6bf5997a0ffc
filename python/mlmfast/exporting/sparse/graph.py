"""sparse.onnx: texts in, the ids and weights of their words out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmfast.exporting.fill_mask_graph import save_graph, trace_to_model
from mlmfast.exporting.graph.split_matmul import split_products
from mlmfast.exporting.sparse.outputs import add_sparse_outputs
from mlmfast.exporting.sparse.pooled_head import pool_logits
from mlmfast.exporting.tracing import OPSET, Logits, input_names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlmfast.exporting.sparse.definition import SparseDefinition

SPARSE = "sparse.onnx"


@dataclass(frozen=True)
class SparseGraph:
    """How sparse.onnx was built.

    Attributes:
        in_blocks: whether the head's product is pooled block by block of the vocabulary, so that
            the logits of a batch never exist as a whole.
        vocab_size: the size of the vocabulary.
        special_ids: tokens that get no weight unless they are asked for, ascending.
    """

    in_blocks: bool
    vocab_size: int
    special_ids: tuple[int, ...]

    @property
    def head(self) -> str:
        """How the head is pooled: "blocks of the vocabulary" or "whole logits"."""
        return "blocks of the vocabulary" if self.in_blocks else "whole logits"


def write_sparse_graph(
    model: Any,
    path: Path,
    definition: SparseDefinition,
    *,
    vocab_size: int,
    special_ids: Sequence[int],
    inputs: Sequence[str] | None = None,
    opset: int = OPSET,
    split: bool = True,
) -> SparseGraph:
    """Trace `model` into sparse.onnx, with its weights inside the file.

    The graph takes `input_ids` int64 [batch, length], with it `attention_mask` and `token_type_ids`
    of the same form where `inputs` names them, and the options of `add_sparse_outputs`.

    Args:
        model: as for `write_fill_mask_graph`.
        path: the file to write.
        definition: what the weights are.
        vocab_size: the size of the vocabulary.
        special_ids: tokens that get no weight unless they are asked for.
        inputs: the model's own inputs; None: those that `tracing.input_names` returns.
        opset: ONNX operator set, 17 to 20.
        split: as for `write_fill_mask_graph`.

    Raises:
        MlmfastError: the tracer cannot write this model.
    """
    names = tuple(inputs or input_names(model))
    graph = trace_to_model(Logits(model, names), names, opset=opset)
    in_blocks = pool_logits(graph, definition)
    if split:
        split_products(graph)
    add_sparse_outputs(graph, definition, vocab_size, special_ids)
    save_graph(graph, path)
    return SparseGraph(in_blocks, vocab_size, tuple(sorted(set(special_ids))))
