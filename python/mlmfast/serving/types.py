"""What is asked of a graph: rows of token ids, and positions in them."""

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
        masks: the positions that are asked about, int64 [masks], ascending, at least one.
        targets: ids whose probabilities are wanted at each of these positions, int64 [targets];
            None where the best tokens, or targets common to all texts, are.
        top_k: how many of the best tokens are wanted, where each question says so for itself.
    """

    ids: np.ndarray
    type_ids: np.ndarray
    masks: np.ndarray
    targets: np.ndarray | None = None
    top_k: int = 0


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """What is wanted at each position of every text.

    Attributes:
        top_k: this many of the best tokens, where there are no targets.
        targets: the probabilities of these ids, int64 [targets].
        own: what each question says for itself: the probabilities of its own targets, or its own
            number of the best tokens. One batch answers both kinds.
    """

    top_k: int = 0
    targets: np.ndarray | None = None
    own: bool = False


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a graph found for one text.

    Attributes:
        scores: probabilities over the whole vocabulary, float32 [masks, top_k or targets]; the best
            tokens descending, targets in their order.
        tokens: their ids, int64, of the same shape or [targets].
    """

    scores: np.ndarray
    tokens: np.ndarray


@dataclass(frozen=True, slots=True)
class BatchPredictions:
    """What a graph found for a batch with M masks.

    Attributes:
        best: the best tokens, [M, top_k], best first; None where not asked for.
        targets: probabilities [M, targets] of the batch's targets; None without any.
    """

    best: Predictions | None
    targets: Predictions | None


@dataclass(frozen=True, slots=True)
class Batch:
    """B questions, padded on the right to the longest.

    Attributes:
        columns: the graph's inputs of the shape [B, length], int64, by name.
        positions: all masks as row x length + column, int64 [masks].
        counts: masks of each question.
        top_k: how many of the best tokens are wanted at each mask; None: targets alone are.
        targets: ids wanted of the whole batch, int64 [targets], ascending; None: no targets are.
    """

    columns: dict[str, np.ndarray]
    positions: np.ndarray
    counts: list[int]
    top_k: int | None
    targets: np.ndarray | None


def make_batch(questions: Sequence[MaskedText], wanted: OutputSpec, pad_id: int) -> Batch:
    """Lay out `questions` as the inputs of a graph."""
    length = max(len(question.ids) for question in questions)
    shape = (len(questions), length)
    ids = np.full(shape, pad_id, np.int64)
    attention = np.zeros(shape, np.int64)
    types = np.zeros(shape, np.int64)
    positions = []
    for row, question in enumerate(questions):
        end = len(question.ids)
        ids[row, :end] = question.ids
        attention[row, :end] = 1
        types[row, :end] = question.type_ids
        positions.append(question.masks + row * length)
    top_k, targets = _of_all(questions, wanted)
    return Batch(
        columns={"input_ids": ids, "attention_mask": attention, "token_type_ids": types},
        positions=np.concatenate(positions),
        counts=[len(question.masks) for question in questions],
        top_k=top_k,
        targets=targets,
    )


def split_found(
    questions: Sequence[MaskedText], batch: Batch, wanted: OutputSpec, found: BatchPredictions
) -> list[Predictions]:
    """Give each question its part of what was found for its batch."""
    parts = []
    start = 0
    for question, count in zip(questions, batch.counts, strict=True):
        parts.append(_part(question, slice(start, start + count), wanted, found))
        start += count
    return parts


def _part(
    question: MaskedText, rows: slice, wanted: OutputSpec, found: BatchPredictions
) -> Predictions:
    best, targets = found.best, found.targets
    if targets and wanted.own and question.targets is not None:
        columns = np.searchsorted(targets.tokens, question.targets)
        return Predictions(targets.scores[rows][:, columns], question.targets)
    if best and wanted.targets is None:
        end = question.top_k if wanted.own else wanted.top_k
        return Predictions(best.scores[rows, :end], best.tokens[rows, :end])
    if targets is None:
        raise ValueError("a batch was found without what its questions want")
    return Predictions(targets.scores[rows], targets.tokens)


def _of_all(
    questions: Sequence[MaskedText], wanted: OutputSpec
) -> tuple[int | None, np.ndarray | None]:
    """Tell what a whole batch is asked: the most tokens, and all targets, that any question wants.

    The best tokens of a mask are ordered, equal ones by id, so that fewer of them are a beginning.
    """
    if not wanted.own:
        return (wanted.top_k if wanted.targets is None else None), wanted.targets
    targets = [question.targets for question in questions if question.targets is not None]
    top_k = [question.top_k for question in questions if question.targets is None]
    return max(top_k, default=None), np.unique(np.concatenate(targets)) if targets else None
