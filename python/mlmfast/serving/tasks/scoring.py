"""Pseudo-log-likelihood: how probable the model finds each word of a text, given the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from mlmfast.errors import InputError
from mlmfast.options import check_choice
from mlmfast.serving.tasks.rows import logs_of
from mlmfast.serving.text.encode import check_length, check_text
from mlmfast.serving.types import MaskedText

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokenizers import Encoding

    from mlmfast.serving.engine.model import Model
    from mlmfast.serving.tasks.base import Steps

_METHODS = ("original", "word_l2r")


class TokenScores(TypedDict):
    """The pseudo-log-likelihood of a text and of each of its tokens, natural logarithms."""

    score: float
    tokens: list[int]
    token_strs: list[str]
    token_scores: list[float]


@dataclass(frozen=True, slots=True)
class ScoredText:
    """A text that is to be scored.

    Attributes:
        ids: its token ids, int64 [length].
        type_ids: segment ids, int64 [length].
        spans: for each token that is scored its position, and the end of what is masked with it.
    """

    ids: np.ndarray
    type_ids: np.ndarray
    spans: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class ScoringTask:
    """What a call that scores texts asks of every one, checked.

    Attributes:
        method: "original": one token is masked at a time; "word_l2r": with a token those after it
            in its word.
    """

    method: str = "original"

    def __post_init__(self) -> None:
        check_choice("method", self.method, _METHODS)

    @property
    def reading(self) -> str:
        """What reading a text depends on."""
        return self.method

    @property
    def price(self) -> str:
        """What costs a pass of the model, for messages."""
        return "one for each token"

    def read(
        self, texts: Sequence[Any], model: Model, *, first: int = 1, names: Callable[[int], str]
    ) -> list[ScoredText | InputError]:
        """Tokenize texts without masks; an InputError stands in the place of a bad one."""
        return [self._read(text, model, names(number)) for number, text in enumerate(texts, first)]

    def rows(self, _text: ScoredText) -> int:
        """Tell how many rows the answer of a text has."""
        return 1

    def passes(self, text: ScoredText) -> int:
        """Tell how often the model is asked: about each token."""
        return len(text.spans)

    def steps(self, text: ScoredText, model: Model) -> Steps[TokenScores]:
        """Mask each token of a text in turn; its special tokens and masks are never scored."""
        mask_id = model.vocabulary.mask_id
        predictions = yield [_masked(text, position, end, mask_id) for position, end in text.spans]
        scores = logs_of(np.concatenate([part.scores[0] for part in predictions])).tolist()
        tokens = [int(text.ids[position]) for position, _ in text.spans]
        return {
            "score": sum(scores),
            "tokens": tokens,
            "token_strs": [model.decoder.token(token) for token in tokens],
            "token_scores": scores,
        }

    def _read(self, text: Any, model: Model, name: str) -> ScoredText | InputError:
        error = check_text(text, name)
        if error:
            return error
        encoding = model.vocabulary.encode_words([text])[0]
        ids = np.array(encoding.ids, np.int64)
        error = check_length(ids, model.limits)
        if error:
            return InputError(f"{name} {error}")
        spans = [
            (place, _end_of_word(encoding, place) if self.method == "word_l2r" else place + 1)
            for place, special in enumerate(encoding.special_tokens_mask)
            if not special and ids[place] != model.vocabulary.mask_id
        ]
        if not spans:
            return InputError(f"{name} has no token to score: it is empty, or all special tokens.")
        return ScoredText(ids, np.array(encoding.type_ids, np.int64), spans)


def _masked(text: ScoredText, position: int, end: int, mask_id: int) -> MaskedText:
    """Mask the tokens from `position` to `end`, and ask for the first of them."""
    ids = text.ids.copy()
    ids[position:end] = mask_id
    target = text.ids[position : position + 1]
    return MaskedText(ids, text.type_ids, np.array([position]), target)


def _end_of_word(encoding: Encoding, position: int) -> int:
    words = encoding.word_ids
    end = position + 1
    while end < len(words) and words[end] is not None and words[end] == words[position]:
        end += 1
    return end
