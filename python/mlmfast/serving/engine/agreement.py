"""Whether a plugin, or a captured graph, computes what onnxruntime's own CPU provider computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import MlmfastError
from mlmfast.serving.engine.sparse import SparseGraph
from mlmfast.serving.types import MaskedText, OutputSpec, Predictions, SparseText

if TYPE_CHECKING:
    from mlmfast.serving.engine.captured import CapturedGraphs
    from mlmfast.serving.engine.graphs import Graph

# Of the logarithm of a probability, and of a sparse weight. In float32 the differences are near
# 1e-5; in bfloat16, which OpenVINO takes if it may, they are tenths. The CPU provider computes a
# graph in float16 in float32, and rounds what its nodes give.
_LIMITS = {"fp16": 0.1}
_LIMIT = 0.01
_LENGTHS = (12, 7)
# onnxruntime runs a shape twice, captures it in the third run, and replays it from then on.
_RUNS = 5


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
        limit = _limit(reference)
        if not difference <= limit:
            raise MlmfastError(
                "The plugin does not agree with onnxruntime's CPU provider: on random tokens "
                f"{'weights' if isinstance(graph, SparseGraph) else 'log-probabilities'} differ "
                f"by {difference:.2g}, and {limit:g} is allowed. Use device='cpu'."
            )


def require_captured_agreement(
    captured: CapturedGraphs, graph: Graph, reference: Any, *, vocab_size: int, pad_id: int
) -> None:
    """Run batches of one shape until they are replayed, each with other texts, and compare.

    Args:
        captured: the captured graphs.
        graph: fill_mask.onnx.
        reference: its session on onnxruntime's CPU provider.
        vocab_size: distinct tokens of the model.
        pad_id: the id of padding.

    Raises:
        MlmfastError: a batch's scores differ by more than rounding does, such as those that a
            replay of the batch before would give.
    """
    draw = np.random.default_rng(0)
    limit = _limit(reference)
    for run in range(_RUNS):
        texts = [_masked(draw.integers(0, vocab_size, length)) for length in _LENGTHS]
        found = captured.run_texts(texts, OutputSpec(top_k=captured.top_k))
        difference = np.inf
        if found is not None:
            difference = _difference_of_best(graph, reference, texts, found, pad_id)
        if not difference <= limit:
            raise MlmfastError(
                "CUDA graphs do not agree with onnxruntime's CPU provider: in run "
                f"{run + 1} of a shape, log-probabilities of random tokens differ by "
                f"{difference:.2g}, and {limit:g} is allowed. Leave out cuda_graphs."
            )


def _difference_of_best(
    graph: Any, reference: Any, texts: list[MaskedText], found: list[Predictions], pad_id: int
) -> float:
    """Return how far the best scores are from the best ones of `reference`, and its own for them.

    Tokens of nearly the same score may change places.
    """
    best = graph.run_texts(reference, texts, OutputSpec(top_k=found[0].scores.shape[1]), pad_id)
    tokens = np.unique(np.concatenate([each.tokens.ravel() for each in found]))
    if tokens[0] < 0:
        return float("inf")
    same = graph.run_texts(reference, texts, OutputSpec(targets=tokens), pad_id)
    largest = 0.0
    for ours, theirs, all_of_them in zip(found, best, same, strict=True):
        columns = np.searchsorted(tokens, ours.tokens)
        for expected in (theirs.scores, np.take_along_axis(all_of_them.scores, columns, axis=1)):
            largest = max(largest, _apart(ours.scores, expected))
    return largest


def _limit(reference: Any) -> float:
    metadata = reference.get_modelmeta().custom_metadata_map
    return _LIMITS.get(metadata.get("mlmfast.precision", ""), _LIMIT)


def _masked(ids: np.ndarray) -> MaskedText:
    return MaskedText(ids, np.zeros_like(ids), np.array([1, len(ids) // 2]))


def _apart(ours: np.ndarray, theirs: np.ndarray) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.abs(np.log(ours) - np.log(theirs))
    return float(np.where(ours == theirs, 0, apart).max())


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
    masked = [_masked(row) for row in ids]
    largest = 0.0
    for spec in (OutputSpec(top_k=5), OutputSpec(targets=targets)):
        ours, theirs = (
            np.concatenate([part.scores for part in graph.run_texts(session, masked, spec, pad_id)])
            for session in sessions
        )
        largest = max(largest, _apart(ours, theirs))
    return largest


def _dense(vectors: list[Any], vocab_size: int) -> np.ndarray:
    rows = np.zeros((len(vectors), vocab_size), np.float32)
    for row, vector in zip(rows, vectors, strict=True):
        row[vector.ids] = vector.weights
    return rows
