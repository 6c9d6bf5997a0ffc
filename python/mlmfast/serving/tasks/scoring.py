"""Pseudo-log-likelihood: how probable each token of a text is to the model, given the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from mlmfast.errors import InputError
from mlmfast.options import check_choice
from mlmfast.serving.tasks.rows import log_probabilities
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
    """An encoded text to score.

    Attributes:
        ids: its token ids, int64 [length].
        type_ids: segment ids, int64 [length].
        spans: for each token to score its position, and the end of the tokens masked with it.
    """

    ids: np.ndarray
    type_ids: np.ndarray
    spans: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class ScoringTask:
    """The checked options of a call that scores texts.

    Attributes:
        method: "original" masks one token at a time; "word_l2r" masks with it the later tokens of
            its word.
    """

    method: str = "original"

    def __post_init__(self) -> None:
        check_choice("method", self.method, _METHODS)

    @property
    def encode_key(self) -> str:
        """What `encode` depends on."""
        return self.method

    @property
    def cost_unit(self) -> str:
        """What each pass of the model is for, for messages."""
        return "one for each token"

    def encode(
        self, texts: Sequence[Any], model: Model, *, first: int = 1, names: Callable[[int], str]
    ) -> list[ScoredText | InputError]:
        """Tokenize texts; one that cannot be used gives an InputError."""
        return [
            self._encode(text, model, names(number)) for number, text in enumerate(texts, first)
        ]

    def rows(self, _text: ScoredText) -> int:
        """Return how many rows the answer to a text has."""
        return 1

    def passes(self, text: ScoredText) -> int:
        """Return how many passes a text needs: one for each token."""
        return len(text.spans)

    def steps(self, text: ScoredText, model: Model) -> Steps[TokenScores]:
        """Mask each token of a text in turn. Special tokens and masks are not scored."""
        mask_id = model.tokenizer.mask_id
        predictions = yield [_masked(text, position, end, mask_id) for position, end in text.spans]
        scores = log_probabilities(
            np.concatenate([part.scores[0] for part in predictions])
        ).tolist()
        tokens = [int(text.ids[position]) for position, _ in text.spans]
        return {
            "score": sum(scores),
            "tokens": tokens,
            "token_strs": [model.decoder.token(token) for token in tokens],
            "token_scores": scores,
        }

    def _encode(self, text: Any, model: Model, name: str) -> ScoredText | InputError:
        error = check_text(text, name)
        if error:
            return error
        encoding = model.tokenizer.encode_words([text])[0]
        ids = np.array(encoding.ids, np.int64)
        error = check_length(ids, model.limits)
        if error:
            return error.prefixed(name)
        spans = [
            (
                position,
                _end_of_word(encoding, position) if self.method == "word_l2r" else position + 1,
            )
            for position, special in enumerate(encoding.special_tokens_mask)
            if not special and ids[position] != model.tokenizer.mask_id
        ]
        if not spans:
            return InputError(f"{name} has no token to score: it is empty, or all special tokens.")
        return ScoredText(ids, np.array(encoding.type_ids, np.int64), spans)


def _masked(text: ScoredText, position: int, end: int, mask_id: int) -> MaskedText:
    """Mask the tokens from `position` to `end`, with the first of them as target."""
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
