"""Whether a plugin computes what onnxruntime's own CPU provider computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import MlmfastError
from mlmfast.serving.engine.sparse import SparseGraph
from mlmfast.serving.types import MaskedText, OutputSpec, SparseText

if TYPE_CHECKING:
    from mlmfast.serving.engine.graphs import Graph

# Of the logarithm of a probability, and of a sparse weight. In float32 the differences are near
# 1e-5; in bfloat16, which OpenVINO takes if it may, they are tenths.
_LIMIT = 0.01
_LENGTHS = (12, 7)


def require_agreement(
    graph: Graph, session: Any, reference: Any, *, vocab_size: int, pad_id: int
) -> None:
    """Run two short random texts in both sessions, and compare.

    Args:
        graph: the graph of both.
        session: the session that a plugin runs.
        reference: the same on onnxruntime's CPU provider.
        vocab_size: distinct tokens of the model.
        pad_id: the id of padding.

    Raises:
        MlmfastError: they differ by more than rounding to float32 does.
    """
    draw = np.random.default_rng(0)
    ids = [draw.integers(0, vocab_size, length) for length in _LENGTHS]
    for batch in [[row] for row in ids] if graph.padding_sensitive else [ids]:
        difference = _difference(graph, (session, reference), batch, vocab_size, pad_id)
        if not difference <= _LIMIT:
            raise MlmfastError(
                "The plugin does not agree with onnxruntime's CPU provider: on random tokens "
                f"{'weights' if isinstance(graph, SparseGraph) else 'log-probabilities'} differ "
                f"by {difference:.2g}, and {_LIMIT:g} is allowed. Use device='cpu'."
            )


def _difference(
    graph: Graph, sessions: tuple[Any, Any], ids: list[np.ndarray], vocab_size: int, pad_id: int
) -> float:
    if isinstance(graph, SparseGraph):
        texts = [SparseText(row, np.zeros_like(row), special_tokens=True) for row in ids]
        ours, theirs = (
            _dense(graph.run_texts(session, texts, OutputSpec(), pad_id), vocab_size)
            for session in sessions
        )
        return float(np.abs(ours - theirs).max())
    targets = np.arange(0, vocab_size, max(1, vocab_size // 100))
    masked = [MaskedText(row, np.zeros_like(row), np.array([1, len(row) // 2])) for row in ids]
    largest = 0.0
    for spec in (OutputSpec(top_k=5), OutputSpec(targets=targets)):
        ours, theirs = (
            np.concatenate([part.scores for part in graph.run_texts(session, masked, spec, pad_id)])
            for session in sessions
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            apart = np.abs(np.log(ours) - np.log(theirs))
        largest = max(largest, float(np.where(ours == theirs, 0, apart).max()))
    return largest


def _dense(vectors: list[Any], vocab_size: int) -> np.ndarray:
    rows = np.zeros((len(vectors), vocab_size), np.float32)
    for row, vector in zip(rows, vectors, strict=True):
        row[vector.ids] = vector.weights
    return rows
