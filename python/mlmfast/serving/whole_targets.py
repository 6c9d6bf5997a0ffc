"""Targets of several tokens: as many masks as the word has pieces, filled one after the other."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from mlmfast.errors import InputError
from mlmfast.serving.joint import filled_row, log_of
from mlmfast.serving.questions import Question, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlmfast.serving.answers import FilledRow
    from mlmfast.serving.decoding import Decoder
    from mlmfast.serving.engine import Engine
    from mlmfast.serving.vocabulary import Vocabulary


def pieces_of(targets: str | Iterable[str], vocabulary: Vocabulary) -> list[tuple[int, ...]]:
    """Tokenize `targets`, each once.

    Raises:
        InputError: a target is no string or gives no token, or there is none.
    """
    words = [targets] if isinstance(targets, str) else list(targets)
    found: dict[tuple[int, ...], None] = {}
    for word in words:
        if not isinstance(word, str):
            raise InputError(f"Targets are strings, and {word!r} is of type {type(word).__name__}.")
        pieces = tuple(vocabulary.pieces(word))
        if not pieces:
            raise InputError(f"The target {word!r} gives no token.")
        found[pieces] = None
    if not found:
        raise InputError("At least one target must be given; targets is empty.")
    return list(found)


def grown_ids(question: Question, pieces: Sequence[int], place: int = 0) -> np.ndarray:
    """Return the ids of the text with `pieces` in the place of one of its masks."""
    position = int(question.masks[place])
    return np.concatenate(
        [question.ids[:position], np.array(pieces, np.int64), question.ids[position + 1 :]]
    )


def score_targets(
    engine: Engine, question: Question, targets: Sequence[tuple[int, ...]]
) -> list[list[float]]:
    """Score each target at each mask of one text.

    Returns:
        For each mask the targets' log scores: the sum over the pieces, from left to right, of the
        natural logarithm of a piece's probability where the pieces before it are known and those
        after it are masks.
    """
    scores = [[0.0] * len(targets) for _ in question.masks]
    for step in range(max(map(len, targets))):
        # Targets of one length that begin alike ask the same question.
        asked: dict[tuple[int, int, tuple[int, ...]], list[int]] = defaultdict(list)
        for place in range(len(question.masks)):
            for number, pieces in enumerate(targets):
                if len(pieces) > step:
                    asked[place, len(pieces), pieces[:step]].append(number)
        rows = [
            _with_pieces(question, place, known, count, [targets[n][step] for n in numbers])
            for (place, count, known), numbers in asked.items()
        ]
        found = engine.answer(rows, Wanted(own=True))
        for ((place, _, _), numbers), part in zip(asked.items(), found, strict=True):
            columns = dict(zip(part.tokens.tolist(), part.scores[0].tolist(), strict=True))
            for number in numbers:
                scores[place][number] += log_of(columns[targets[number][step]])
    return scores


def rows_of_targets(
    question: Question,
    scores: Sequence[Sequence[float]],
    targets: Sequence[tuple[int, ...]],
    count: int,
    decoder: Decoder,
    vocabulary: Vocabulary,
) -> list[FilledRow] | list[list[FilledRow]]:
    """Write the `count` best targets of each mask: one list for one mask, else one a mask."""
    answer = []
    for place, of_mask in enumerate(scores):
        best = sorted(range(len(targets)), key=lambda number: -of_mask[number])[:count]
        answer.append(
            [
                filled_row(
                    grown_ids(question, targets[number], place).tolist(),
                    targets[number],
                    of_mask[number],
                    decoder,
                    vocabulary,
                    skip_special=len(scores) == 1,
                )
                for number in best
            ]
        )
    return answer[0] if len(answer) == 1 else answer


def _with_pieces(
    question: Question, place: int, known: tuple[int, ...], count: int, wanted: list[int]
) -> Question:
    """Put `count` masks in place of one, the first of them filled with what is `known`."""
    position = int(question.masks[place])
    mask_id = int(question.ids[position])
    pieces = [*known, *[mask_id] * (count - len(known))]
    types = question.type_ids
    return Question(
        ids=grown_ids(question, pieces, place),
        type_ids=np.concatenate(
            [types[:position], np.full(count, types[position]), types[position + 1 :]]
        ),
        masks=np.array([position + len(known)]),
        targets=np.unique(wanted),
    )
