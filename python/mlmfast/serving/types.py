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
        top_k: how many of the best tokens are wanted, where each masked text says so for itself.
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
        own: what each masked text says for itself: the probabilities of its own targets, or its own
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
    """B masked texts, padded on the right to the longest.

    Attributes:
        columns: the graph's inputs of the shape [B, length], int64, by name.
        positions: all masks as row x length + column, int64 [masks].
        counts: masks of each masked text.
        top_k: how many of the best tokens are wanted at each mask; None: targets alone are.
        targets: ids wanted of the whole batch, int64 [targets], ascending; None: no targets are.
    """

    columns: dict[str, np.ndarray]
    positions: np.ndarray
    counts: list[int]
    top_k: int | None
    targets: np.ndarray | None


def make_batch(masked_texts: Sequence[MaskedText], output_spec: OutputSpec, pad_id: int) -> Batch:
    """Lay out `masked_texts` as the inputs of a graph."""
    length = max(len(masked_text.ids) for masked_text in masked_texts)
    shape = (len(masked_texts), length)
    ids = np.full(shape, pad_id, np.int64)
    attention = np.zeros(shape, np.int64)
    types = np.zeros(shape, np.int64)
    positions = []
    for row, masked_text in enumerate(masked_texts):
        end = len(masked_text.ids)
        ids[row, :end] = masked_text.ids
        attention[row, :end] = 1
        types[row, :end] = masked_text.type_ids
        positions.append(masked_text.masks + row * length)
    top_k, targets = _of_all(masked_texts, output_spec)
    return Batch(
        columns={"input_ids": ids, "attention_mask": attention, "token_type_ids": types},
        positions=np.concatenate(positions),
        counts=[len(masked_text.masks) for masked_text in masked_texts],
        top_k=top_k,
        targets=targets,
    )


def split_found(
    masked_texts: Sequence[MaskedText],
    batch: Batch,
    output_spec: OutputSpec,
    predictions: BatchPredictions,
) -> list[Predictions]:
    """Give each masked text its part of what was found for its batch."""
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
    if targets and output_spec.own and masked_text.targets is not None:
        columns = np.searchsorted(targets.tokens, masked_text.targets)
        return Predictions(targets.scores[rows][:, columns], masked_text.targets)
    if best and output_spec.targets is None:
        end = masked_text.top_k if output_spec.own else output_spec.top_k
        return Predictions(best.scores[rows, :end], best.tokens[rows, :end])
    if targets is None:
        raise ValueError("a batch was found without what its questions want")
    return Predictions(targets.scores[rows], targets.tokens)


def _of_all(
    masked_texts: Sequence[MaskedText], output_spec: OutputSpec
) -> tuple[int | None, np.ndarray | None]:
    """Return the largest `top_k` and all targets that any masked text of a batch needs.

    The best tokens of a mask are ordered, equal ones by id, so that fewer of them are a beginning.
    """
    if not output_spec.own:
        return (output_spec.top_k if output_spec.targets is None else None), output_spec.targets
    targets = [
        masked_text.targets for masked_text in masked_texts if masked_text.targets is not None
    ]
    top_k = [masked_text.top_k for masked_text in masked_texts if masked_text.targets is None]
    return max(top_k, default=None), np.unique(np.concatenate(targets)) if targets else None
