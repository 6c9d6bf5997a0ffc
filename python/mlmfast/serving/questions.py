"""What is asked of a graph: rows of token ids, and positions in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Question:
    """One text, ready for a graph.

    Attributes:
        ids: token ids, int64 [length].
        type_ids: segment ids, int64 [length].
        masks: the positions that are asked about, int64 [masks], ascending, at least one.
        targets: ids whose probabilities are wanted at each of these positions, int64 [targets];
            None where the best tokens, or targets common to all texts, are.
    """

    ids: np.ndarray
    type_ids: np.ndarray
    masks: np.ndarray
    targets: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted at each position of every text.

    Attributes:
        top_k: this many of the best tokens, where there are no targets.
        targets: the probabilities of these ids, int64 [targets].
        own_targets: the probabilities of each question's own targets.
    """

    top_k: int = 0
    targets: np.ndarray | None = None
    own_targets: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a graph found for one text.

    Attributes:
        scores: probabilities over the whole vocabulary, float32 [masks, top_k or targets]; the best
            tokens descending, targets in their order.
        tokens: their ids, int64, of the same shape or [targets].
    """

    scores: np.ndarray
    tokens: np.ndarray


@dataclass(frozen=True, slots=True)
class Batch:
    """B questions, padded on the right to the longest.

    Attributes:
        columns: the graph's inputs of the shape [B, length], int64, by name.
        positions: all masks as row x length + column, int64 [masks].
        counts: masks of each question.
        targets: ids wanted of the whole batch, int64 [targets]; None: the best tokens are.
    """

    columns: dict[str, np.ndarray]
    positions: np.ndarray
    counts: list[int]
    targets: np.ndarray | None


def make_batch(questions: Sequence[Question], wanted: Wanted, pad_id: int) -> Batch:
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
    targets = wanted.targets
    if wanted.own_targets:
        targets = np.unique(np.concatenate([_own(question) for question in questions]))
    return Batch(
        columns={"input_ids": ids, "attention_mask": attention, "token_type_ids": types},
        positions=np.concatenate(positions),
        counts=[len(question.masks) for question in questions],
        targets=targets,
    )


def split_found(
    questions: Sequence[Question], batch: Batch, wanted: Wanted, found: Found
) -> list[Found]:
    """Give each question its part of what was found for its batch."""
    parts = []
    start = 0
    for question, count in zip(questions, batch.counts, strict=True):
        scores = found.scores[start : start + count]
        if wanted.own_targets:
            own = _own(question)
            parts.append(Found(scores[:, np.searchsorted(found.tokens, own)], own))
        elif batch.targets is not None:
            parts.append(Found(scores, found.tokens))
        else:
            parts.append(Found(scores, found.tokens[start : start + count]))
        start += count
    return parts


def _own(question: Question) -> np.ndarray:
    if question.targets is None:
        raise ValueError("a question without targets was asked for its own")
    return question.targets
