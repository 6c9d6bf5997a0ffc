"""Pseudo-log-likelihood: how probable the model finds each word of a text, given the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import numpy as np

from mlmfast.errors import InputError
from mlmfast.serving.joint import log_of
from mlmfast.serving.questions import Question, Wanted
from mlmfast.serving.texts import check_length, check_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Encoding

    from mlmfast.serving.decoding import Decoder
    from mlmfast.serving.engine import Engine
    from mlmfast.serving.texts import Limits
    from mlmfast.serving.vocabulary import Vocabulary

METHODS = ("original", "word_l2r")


class TokenScores(TypedDict):
    """The pseudo-log-likelihood of a text and of each of its tokens, natural logarithms."""

    score: float
    tokens: list[int]
    token_strs: list[str]
    token_scores: list[float]


def masked_variants(
    text: str, vocabulary: Vocabulary, limits: Limits, method: str, name: str = "The text"
) -> list[Question]:
    """Mask each token of `text` in turn.

    Args:
        text: a text; its special tokens and masks are context and never scored.
        vocabulary: the model's tokenizer.
        limits: what the model takes.
        method: "original": one token is masked; "word_l2r": the tokens after it in its word too.
        name: what messages call the text.

    Returns:
        A question a token, whose target is the token.

    Raises:
        InputError: the text is no string, has no token to score, or is too long.
    """
    error = check_text(text, name)
    if error:
        raise error
    encoding = vocabulary.encode_words([text])[0]
    ids = np.array(encoding.ids, np.int64)
    types = np.array(encoding.type_ids, np.int64)
    error = check_length(ids, limits)
    if error:
        raise InputError(f"{name} {error}")
    scored = [
        position
        for position, special in enumerate(encoding.special_tokens_mask)
        if not special and ids[position] != vocabulary.mask_id
    ]
    if not scored:
        raise InputError(f"{name} has no token to score: it is empty, or all special tokens.")
    variants = []
    for position in scored:
        masked = ids.copy()
        end = _end_of_word(encoding, position) if method == "word_l2r" else position + 1
        masked[position:end] = vocabulary.mask_id
        variants.append(Question(masked, types, np.array([position]), ids[position : position + 1]))
    return variants


def _end_of_word(encoding: Encoding, position: int) -> int:
    words = encoding.word_ids
    end = position + 1
    while end < len(words) and words[end] is not None and words[end] == words[position]:
        end += 1
    return end


def score_texts(
    engine: Engine, texts: Sequence[list[Question]], decoder: Decoder
) -> list[TokenScores]:
    """Score texts, given the masked variants of each."""
    flat = [question for variants in texts for question in variants]
    found = iter(engine.answer(flat, Wanted(own=True)))
    results: list[TokenScores] = []
    for variants in texts:
        scores = [log_of(float(next(found).scores[0, 0])) for _ in variants]
        tokens = [int(question.targets[0]) for question in variants]  # type: ignore[index]
        results.append(
            {
                "score": sum(scores),
                "tokens": tokens,
                "token_strs": [decoder.token(token) for token in tokens],
                "token_scores": scores,
            }
        )
    return results


def check_method(method: str) -> None:
    """Raise an InputError unless `method` is known."""
    if method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, and is {method!r}.")
