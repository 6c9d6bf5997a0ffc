"""Fill several masks together: a beam search in which the model is asked again after each word."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import InputError
from mlmfast.options import check_choice
from mlmfast.serving.tasks.rows import filled_row, logs_of
from mlmfast.serving.text.encode import encode_texts
from mlmfast.serving.text.options import EncodeOptions
from mlmfast.serving.types import MaskedText

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlmfast.serving.engine.model import Model
    from mlmfast.serving.tasks.base import Steps
    from mlmfast.serving.tasks.rows import FilledRow
    from mlmfast.serving.types import Predictions

_ORDERS = ("certain", "left_to_right")


@dataclass(frozen=True, slots=True)
class Beam:
    """A text with some of its masks filled.

    Attributes:
        masked text: the text, with the masks that are still open.
        log_score: natural logarithm of the product of the probabilities so far.
    """

    masked_text: MaskedText
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
        check_choice("order", self.order, _ORDERS)


@dataclass(frozen=True, slots=True)
class BeamSearchTask:
    """What a call that fills masks together asks of every text, checked.

    Attributes:
        top_k: fillings that are returned.
        search: how they are looked for.
        options: how texts become ids.
    """

    top_k: int
    search: Search
    options: EncodeOptions

    @classmethod
    def checked(
        cls,
        top_k: int = 5,
        beams: int | None = None,
        order: str = "certain",
        tokenizer_kwargs: Mapping[str, Any] | None = None,
    ) -> BeamSearchTask:
        """Check the options of a call.

        Raises:
            InputError: a number is out of range, or the order is not known.
            TypeError: a keyword that is not known.
        """
        if top_k < 1:
            raise InputError(f"top_k must be at least 1, and is {top_k}.")
        search = Search(top_k if beams is None else beams, order)
        return cls(top_k, search, EncodeOptions.from_keywords(tokenizer_kwargs))

    @property
    def reading(self) -> EncodeOptions:
        """What reading a text depends on."""
        return self.options

    @property
    def price(self) -> str:
        """What costs a pass of the model, for messages."""
        return "one for each beam and mask"

    def read(
        self, texts: Sequence[Any], model: Model, *, first: int = 1, names: Callable[[int], str]
    ) -> list[MaskedText | InputError]:
        """Tokenize texts and find their masks."""
        return encode_texts(
            texts, model.vocabulary, model.limits, self.options, first=first, names=names
        )

    def rows(self, _question: MaskedText) -> int:
        """Tell how many rows the answer of a text has at most."""
        return min(self.top_k, self.search.beams)

    def passes(self, masked_text: MaskedText) -> int:
        """Tell how often the model is asked at most: about the text, then about each beam."""
        return 1 + self.search.beams * (len(masked_text.masks) - 1)

    def steps(self, masked_text: MaskedText, model: Model) -> Steps[list[FilledRow]]:
        """Fill the masks of a text, and write the best fillings."""
        beams = yield from fill_together(masked_text, self.search, model.limits.vocab_size)
        return [
            filled_row(
                beam.masked_text.ids.tolist(),
                beam.masked_text.ids[masked_text.masks].tolist(),
                beam.log_score,
                model,
            )
            for beam in beams[: self.top_k]
        ]


def fill_together(masked_text: MaskedText, search: Search, vocab_size: int) -> Steps[list[Beam]]:
    """Fill all masks of a text.

    In each step every beam is asked about its open masks, and one of them is filled: the one whose
    best token is the most probable, or the leftmost.

    Returns:
        The finished beams, best first, at most `search.beams`.
    """
    beams = [Beam(replace(masked_text, top_k=min(search.beams, vocab_size)), 0.0)]
    while len(beams[0].masked_text.masks):
        predictions = yield [beam.masked_text for beam in beams]
        beams = _expand(beams, predictions, search)
    return beams


def _expand(
    beams: Sequence[Beam], predictions: Sequence[Predictions], search: Search
) -> list[Beam]:
    """Fill one mask of each beam with each of its best tokens, and keep the best.

    The same words put in by two ways are one beam, with the better score.
    """
    masks = [
        0 if search.order == "left_to_right" else int(part.scores[:, 0].argmax())
        for part in predictions
    ]
    scores = np.stack(
        [
            beam.log_score + logs_of(part.scores[mask])
            for beam, part, mask in zip(beams, predictions, masks, strict=True)
        ]
    )
    best: dict[bytes, Beam] = {}
    for place in np.argsort(-scores, axis=None, kind="stable").tolist():
        row, column = divmod(place, scores.shape[1])
        token = int(predictions[row].tokens[masks[row], column])
        masked_text = _filled(beams[row].masked_text, masks[row], token)
        best.setdefault(masked_text.ids.tobytes(), Beam(masked_text, float(scores[row, column])))
        if len(best) == search.beams:
            break
    return list(best.values())


def _filled(masked_text: MaskedText, mask: int, token: int) -> MaskedText:
    """Put a token in the place of one of the open masks."""
    ids = masked_text.ids.copy()
    ids[masked_text.masks[mask]] = token
    return replace(masked_text, ids=ids, masks=np.delete(masked_text.masks, mask))
