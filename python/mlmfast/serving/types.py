"""The inputs and outputs of graphs: texts, batches of them, predictions and sparse vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class MaskedText:
    """One text, ready for a graph.

    Attributes:
        ids: token ids, int64 [length].
        type_ids: segment ids, int64 [length].
        masks: positions of its masks, int64 [masks], ascending, at least one.
        targets: ids whose probabilities to predict at each mask, int64 [targets]; used where
            `OutputSpec.per_text` is set. None: the best tokens are predicted.
        top_k: how many of the best tokens to predict; used where `OutputSpec.per_text` is set.
    """

    ids: np.ndarray
    type_ids: np.ndarray
    masks: np.ndarray
    targets: np.ndarray | None = None
    top_k: int = 0


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """What to predict at each mask.

    Attributes:
        top_k: how many of the best tokens, where there are no targets.
        targets: ids whose probabilities to predict, int64 [targets].
        per_text: take `targets` and `top_k` of each `MaskedText` instead. Texts with targets and
            texts without may share a batch.
    """

    top_k: int = 0
    targets: np.ndarray | None = None
    per_text: bool = False


@dataclass(frozen=True, slots=True)
class Predictions:
    """The predictions for one text.

    Attributes:
        scores: probabilities over the whole vocabulary, float32 [masks, top_k or targets]; those of
            the best tokens descend, those of targets have the order of the targets.
        tokens: ids of the tokens, int64, of the same shape or [targets].
    """

    scores: np.ndarray
    tokens: np.ndarray


@dataclass(frozen=True, slots=True)
class BatchPredictions:
    """The predictions for a batch with M masks.

    Attributes:
        best: the best tokens, [M, top_k], best first; None where they were not requested.
        targets: probabilities [M, targets] of the batch's targets; None for a batch without any.
    """

    best: Predictions | None
    targets: Predictions | None


@dataclass(frozen=True, slots=True)
class SparseText:
    """One text, ready for sparse.onnx.

    Attributes:
        ids: token ids, int64 [length].
        type_ids: segment ids, int64 [length].
        top_k: how many of the heaviest words to keep; 0: all.
        threshold: what every weight exceeds, at least 0.
        special_tokens: whether special tokens may have a weight.
    """

    ids: np.ndarray
    type_ids: np.ndarray
    top_k: int = 0
    threshold: float = 0.0
    special_tokens: bool = False


@dataclass(frozen=True, slots=True)
class SparseVector:
    """The words of one text and their weights.

    Attributes:
        ids: ids of the words, int64 [words], ascending.
        weights: their weights, float32 [words], all above 0.
    """

    ids: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


# What an engine runs, and what it gives for it.
Text = MaskedText | SparseText
Result = Predictions | SparseVector


@dataclass(frozen=True, slots=True)
class Batch:
    """B masked texts, padded on the right to the longest.

    Attributes:
        columns: the graph's inputs of the shape [B, length], int64, by name.
        positions: all masks as row x length + column, int64 [masks].
        counts: masks of each masked text.
        top_k: how many of the best tokens to predict at each mask; None: none, only targets.
        targets: ids whose probabilities to predict, int64 [targets], ascending; None: none.
    """

    columns: dict[str, np.ndarray]
    positions: np.ndarray
    counts: list[int]
    top_k: int | None
    targets: np.ndarray | None


def make_batch(masked_texts: Sequence[MaskedText], output_spec: OutputSpec, pad_id: int) -> Batch:
    """Lay out `masked_texts` as the inputs of a graph."""
    columns = pad_columns(masked_texts, pad_id)
    length = columns["input_ids"].shape[1]
    positions = [masked_text.masks + row * length for row, masked_text in enumerate(masked_texts)]
    top_k, targets = _batch_outputs(masked_texts, output_spec)
    return Batch(
        columns=columns,
        positions=np.concatenate(positions),
        counts=[len(masked_text.masks) for masked_text in masked_texts],
        top_k=top_k,
        targets=targets,
    )


def pad_columns(texts: Sequence[Text], pad_id: int) -> dict[str, np.ndarray]:
    """Pad texts on the right to the longest: the graph's inputs int64 [texts, length], by name."""
    shape = (len(texts), max(len(text.ids) for text in texts))
    ids = np.full(shape, pad_id, np.int64)
    attention = np.zeros(shape, np.int64)
    types = np.zeros(shape, np.int64)
    for row, text in enumerate(texts):
        end = len(text.ids)
        ids[row, :end] = text.ids
        attention[row, :end] = 1
        types[row, :end] = text.type_ids
    return {"input_ids": ids, "attention_mask": attention, "token_type_ids": types}


def split_predictions(
    masked_texts: Sequence[MaskedText],
    batch: Batch,
    output_spec: OutputSpec,
    predictions: BatchPredictions,
) -> list[Predictions]:
    """Split the predictions for a batch into those for each masked text."""
    parts = []
    start = 0
    for masked_text, count in zip(masked_texts, batch.counts, strict=True):
        parts.append(_part(masked_text, slice(start, start + count), output_spec, predictions))
        start += count
    return parts


def _part(
    masked_text: MaskedText, rows: slice, output_spec: OutputSpec, predictions: BatchPredictions
) -> Predictions:
    best, targets = predictions.best, predictions.targets
    if targets and output_spec.per_text and masked_text.targets is not None:
        columns = np.searchsorted(targets.tokens, masked_text.targets)
        return Predictions(targets.scores[rows][:, columns], masked_text.targets)
    if best and output_spec.targets is None:
        end = masked_text.top_k if output_spec.per_text else output_spec.top_k
        return Predictions(best.scores[rows, :end], best.tokens[rows, :end])
    if targets is None:
        raise ValueError("the batch has no predictions for the targets of its texts")
    return Predictions(targets.scores[rows], targets.tokens)


def _batch_outputs(
    masked_texts: Sequence[MaskedText], output_spec: OutputSpec
) -> tuple[int | None, np.ndarray | None]:
    """Return the largest `top_k` and all targets that any masked text of a batch needs.

    The best tokens of a mask are sorted, equal ones by id, so that a smaller `top_k` is a prefix.
    """
    if not output_spec.per_text:
        return (output_spec.top_k if output_spec.targets is None else None), output_spec.targets
    targets = [
        masked_text.targets for masked_text in masked_texts if masked_text.targets is not None
    ]
    top_k = [masked_text.top_k for masked_text in masked_texts if masked_text.targets is None]
    return max(top_k, default=None), np.unique(np.concatenate(targets)) if targets else None
