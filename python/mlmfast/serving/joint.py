"""Fill several masks together: a beam search in which the model is asked again after each word."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mlmfast.errors import InputError
from mlmfast.serving.questions import Question, Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.serving.answers import FilledRow
    from mlmfast.serving.decoding import Decoder
    from mlmfast.serving.engine import Engine
    from mlmfast.serving.model import Model
    from mlmfast.serving.questions import Found
    from mlmfast.serving.vocabulary import Vocabulary

ORDERS = ("certain", "left_to_right")


@dataclass(frozen=True, slots=True)
class Beam:
    """A text with some of its masks filled.

    Attributes:
        question: the text, with the masks that are still open.
        log_score: natural logarithm of the product of the probabilities so far.
    """

    question: Question
    log_score: float


@dataclass(frozen=True, slots=True)
class Search:
    """How masks are filled together.

    Attributes:
        beams: partial fillings that are kept after each word.
        order: "certain" or "left_to_right".
    """

    beams: int
    order: str

    def __post_init__(self) -> None:
        if self.beams < 1:
            raise InputError(f"beams must be at least 1, and is {self.beams}.")
        if self.order not in ORDERS:
            raise InputError(f"order must be one of {', '.join(ORDERS)}, and is {self.order!r}.")


def fill_together(
    engine: Engine, questions: Sequence[Question], search: Search
) -> list[list[Beam]]:
    """Fill all masks of each text.

    In each round every beam of every text is asked about its open masks, and one of them is filled:
    the one whose best token is the most probable, or the leftmost.

    Returns:
        For each text its finished beams, best first, at most `search.beams`.
    """
    beams = [[Beam(question, 0.0)] for question in questions]
    wanted = Wanted(top_k=min(search.beams, engine.vocab_size))
    while open_texts := [place for place, kept in enumerate(beams) if len(kept[0].question.masks)]:
        asked = [beam for place in open_texts for beam in beams[place]]
        found = iter(engine.answer([beam.question for beam in asked], wanted))
        for place in open_texts:
            grown = [
                longer for beam in beams[place] for longer in _grow(beam, next(found), search.order)
            ]
            beams[place] = _best(grown, search.beams)
    return beams


def fill_texts(
    model: Model, questions: Sequence[Question], search: Search, top_k: int
) -> list[list[FilledRow]]:
    """Fill the masks of each text, and write the `top_k` best fillings."""
    return [
        [
            filled_row(
                beam.question.ids.tolist(),
                beam.question.ids[question.masks].tolist(),
                beam.log_score,
                model.decoder,
                model.vocabulary,
            )
            for beam in beams[:top_k]
        ]
        for question, beams in zip(
            questions, fill_together(model.engine, questions, search), strict=True
        )
    ]


def _grow(beam: Beam, found: Found, order: str) -> list[Beam]:
    """Fill one mask of `beam` with each of its best tokens."""
    mask = 0 if order == "left_to_right" else int(found.scores[:, 0].argmax())
    position = beam.question.masks[mask]
    still_open = np.delete(beam.question.masks, mask)
    grown = []
    for score, token in zip(found.scores[mask], found.tokens[mask], strict=True):
        ids = beam.question.ids.copy()
        ids[position] = token
        grown.append(
            Beam(
                replace(beam.question, ids=ids, masks=still_open),
                beam.log_score + log_of(float(score)),
            )
        )
    return grown


def _best(beams: list[Beam], count: int) -> list[Beam]:
    """Keep the best; the same words put in by two ways are one beam, with the better score."""
    best: dict[bytes, Beam] = {}
    for beam in sorted(beams, key=lambda beam: -beam.log_score):
        best.setdefault(beam.question.ids.tobytes(), beam)
    return list(best.values())[:count]


def log_of(score: float) -> float:
    """Natural logarithm; a probability below float32's range counts as its smallest number."""
    return math.log(max(score, 1.4e-45))


def filled_row(
    ids: Sequence[int],
    tokens: Sequence[int],
    log_score: float,
    decoder: Decoder,
    vocabulary: Vocabulary,
    *,
    skip_special: bool = True,
) -> FilledRow:
    """Write one filling: `tokens` in the order of their masks, `ids` the text with them in it."""
    return {
        "score": math.exp(log_score),
        "tokens": list(tokens),
        "token_strs": [decoder.token(token) for token in tokens],
        "sequence": vocabulary.decode(
            [token for token in ids if token != vocabulary.pad_id],
            skip_special_tokens=skip_special,
        ),
    }
