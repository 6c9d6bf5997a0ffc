"""How far the sparse vectors of a lower precision agree with those of float32 on texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.exporting.parity.logits import open_graph
from mlmfast.exporting.quantization.calibration import SENTENCES
from mlmfast.exporting.sparse.outputs import OUTPUTS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_NEIGHBOURS = 1000
# The vector of a text: ids int64, ascending, and weights float32.
Vector = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class SparseAgreement:
    """The vectors of a lower precision compared with float32's for the same texts.

    Attributes:
        texts: how many texts there were.
        built_in: whether they are the built-in sentences.
        words: mean number of words of float32's vectors.
        overlap: mean share of the words that either vector has which both have (Jaccard).
        cosine: mean cosine between the vectors of a text.
        smallest_cosine: the smallest.
        same_nearest: share of the first 1,000 texts whose most similar other text among them is the
            same.
    """

    texts: int
    built_in: bool
    words: float
    overlap: float
    cosine: float
    smallest_cosine: float
    same_nearest: float


def measure_sparse_agreement(
    exact: Path,
    lowered: Path,
    tokenizer: Any,
    texts: Sequence[str] | None = None,
    *,
    max_length: int | None,
) -> SparseAgreement:
    """Encode the same texts with two versions of sparse.onnx.

    Args:
        exact: the graph in float32.
        lowered: the graph in a lower precision.
        tokenizer: the fast tokenizer of transformers.
        texts: the texts; None: the built-in sentences.
        max_length: tokens a text may have; longer texts are truncated.

    Raises:
        ExportMismatchError: onnxruntime cannot open a graph.
    """
    given = SENTENCES if texts is None else texts
    theirs = _vectors(exact, tokenizer, given, max_length)
    ours = _vectors(lowered, tokenizer, given, max_length)
    cosines = [cosine(one, other) for one, other in zip(theirs, ours, strict=True)]
    nearest = zip(_nearest(theirs[:_NEIGHBOURS]), _nearest(ours[:_NEIGHBOURS]), strict=True)
    return SparseAgreement(
        texts=len(theirs),
        built_in=texts is None,
        words=float(np.mean([len(ids) for ids, _ in theirs])),
        overlap=float(np.mean([overlap(*pair) for pair in zip(theirs, ours, strict=True)])),
        cosine=float(np.mean(cosines)),
        smallest_cosine=float(np.min(cosines)),
        same_nearest=float(np.mean([one == other for one, other in nearest])),
    )


def _vectors(
    graph: Path, tokenizer: Any, texts: Sequence[str], max_length: int | None
) -> list[Vector]:
    session = open_graph(graph)
    names = {entry.name for entry in session.get_inputs()}
    vectors = []
    truncation = {} if max_length is None else {"truncation": True, "max_length": max_length}
    for text in texts:
        ids = np.array([tokenizer(text, **truncation)["input_ids"]], dtype=np.int64)
        feed = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
            "top_k": np.array(0),
            "threshold": np.array(0, np.float32),
            "keep_special": np.array(False),
        }
        _, words, weights = session.run([*OUTPUTS], {name: feed[name] for name in names})
        vectors.append((words, weights))
    return vectors


def overlap(one: Vector, other: Vector) -> float:
    """Return the share of the words of either vector that both have; 1 for two empty ones."""
    either = len(np.union1d(one[0], other[0]))
    return len(np.intersect1d(one[0], other[0])) / either if either else 1.0


def cosine(one: Vector, other: Vector) -> float:
    """Return the cosine between two vectors; 1 for two empty ones, 0 for one empty one."""
    lengths = [float(np.linalg.norm(weights)) for _, weights in (one, other)]
    if not all(lengths):
        return float(not any(lengths))
    return _product(one, other) / (lengths[0] * lengths[1])


def _product(one: Vector, other: Vector) -> float:
    _, left, right = np.intersect1d(one[0], other[0], assume_unique=True, return_indices=True)
    return float(one[1][left] @ other[1][right])


def _nearest(vectors: Sequence[Vector]) -> list[int]:
    """Return for each vector the other one with the largest inner product, itself if alone."""
    size = 1 + max((int(ids[-1]) for ids, _ in vectors if len(ids)), default=0)
    dense = np.zeros((len(vectors), size), np.float32)
    for row, (ids, weights) in enumerate(vectors):
        dense[row, ids] = weights
    products = dense @ dense.T
    np.fill_diagonal(products, -1)
    return [int(row) for row in products.argmax(axis=1)]
