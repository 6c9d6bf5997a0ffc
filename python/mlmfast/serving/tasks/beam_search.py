"""Fill several masks together: a beam search that runs the model again after each token."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import InputError
from mlmfast.options import check_choice
from mlmfast.serving.tasks.rows import filled_row, log_probabilities
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
        masked_text: the text, with the masks that are still open.
        log_score: natural logarithm of the product of the probabilities so far.
    """

    masked_text: MaskedText
    log_score: float


@dataclass(frozen=True, slots=True)
class Search:
    """The options of the beam search.

    Attributes:
        beams: partial fillings that are kept after each token.
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
    """The checked options of a call that fills masks together.

    Attributes:
        top_k: fillings to return.
        search: the options of the beam search.
        options: how texts are encoded.
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
    def encode_key(self) -> EncodeOptions:
        """What `encode` depends on."""
        return self.options

    @property
    def cost_unit(self) -> str:
        """What each pass of the model is for, for messages."""
        return "one for each beam and mask"

    def encode(
        self, texts: Sequence[Any], model: Model, *, first: int = 1, names: Callable[[int], str]
    ) -> list[MaskedText | InputError]:
        """Tokenize texts and find their masks."""
        return encode_texts(
            texts, model.tokenizer, model.limits, self.options, first=first, names=names
        )

    def rows(self, _text: MaskedText) -> int:
        """Return how many rows the answer to a text has at most."""
        return min(self.top_k, self.search.beams)

    def passes(self, masked_text: MaskedText) -> int:
        """Return how many passes a text needs at most: one for the text, then one for each beam."""
        return 1 + self.search.beams * (len(masked_text.masks) - 1)

    def steps(self, masked_text: MaskedText, model: Model) -> Steps[list[FilledRow]]:
        """Fill the masks of a text, and write the best fillings."""
        beams = yield from beam_search(masked_text, self.search, model.limits.vocab_size)
        return [
            filled_row(
                beam.masked_text.ids.tolist(),
                beam.masked_text.ids[masked_text.masks].tolist(),
                beam.log_score,
                model,
            )
            for beam in beams[: self.top_k]
        ]


def beam_search(masked_text: MaskedText, search: Search, vocab_size: int) -> Steps[list[Beam]]:
    """Fill all masks of a text.

    In each step the model predicts the open masks of every beam, and one of them is filled: the one
    whose best token is the most probable, or the leftmost.

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
    """Fill one mask of each beam with each of its best tokens, and keep the best beams.

    Two ways to the same tokens are one beam, with the better score.
    """
    masks = [
        0 if search.order == "left_to_right" else int(part.scores[:, 0].argmax())
        for part in predictions
    ]
    scores = np.stack(
        [
            beam.log_score + log_probabilities(part.scores[mask])
            for beam, part, mask in zip(beams, predictions, masks, strict=True)
        ]
    )
    best: dict[bytes, Beam] = {}
    for index in np.argsort(-scores, axis=None, kind="stable").tolist():
        row, column = divmod(index, scores.shape[1])
        token = int(predictions[row].tokens[masks[row], column])
        masked_text = _filled(beams[row].masked_text, masks[row], token)
        best.setdefault(masked_text.ids.tobytes(), Beam(masked_text, float(scores[row, column])))
        if len(best) == search.beams:
            break
    return list(best.values())


def _filled(masked_text: MaskedText, mask: int, token: int) -> MaskedText:
    """Fill one of the open masks with a token."""
    ids = masked_text.ids.copy()
    ids[masked_text.masks[mask]] = token
    return replace(masked_text, ids=ids, masks=np.delete(masked_text.masks, mask))
