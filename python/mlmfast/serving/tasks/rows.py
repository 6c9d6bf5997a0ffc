"""Predictions as the rows that callers get."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from mlmfast.serving.types import Predictions, SparseVector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.serving.engine.model import Model
    from mlmfast.serving.text.decoding import Decoder
    from mlmfast.serving.types import MaskedText

# The smallest positive float32: it stands for any smaller probability.
_SMALLEST = 1.4e-45
# Of a row's keys and numbers, at least.
_ROW_CHARACTERS = 50
# Of an id and a weight with their keys, at least.
_WORD_CHARACTERS = 24


class Row(TypedDict):
    """One candidate for a mask: its probability, id, text, and the text filled with it."""

    score: float
    token: int
    token_str: str
    sequence: str


class FilledRow(TypedDict):
    """One candidate of several tokens: its probability, ids, their texts, and the text filled."""

    score: float
    tokens: list[int]
    token_strs: list[str]
    sequence: str


# One mask: its rows. Several masks: a list of rows for each.
Answer = list[Row] | list[list[Row]]


def fill_mask_rows(masked_text: MaskedText, predictions: Predictions, decoder: Decoder) -> Answer:
    """Return the rows of one text.

    With several masks, `sequence` shows the open masks and all other special tokens.
    """
    one_mask = len(masked_text.masks) == 1
    ids = masked_text.ids.tolist()
    answer: list[list[Row]] = []
    for mask, scores, tokens in zip(
        masked_text.masks.tolist(),
        predictions.scores.tolist(),
        predictions.tokens.tolist(),
        strict=True,
    ):
        sequences = decoder.sequences(ids, mask, tokens, skip_special=one_mask)
        answer.append(
            [
                {
                    "score": score,
                    "token": token,
                    "token_str": decoder.token(token),
                    "sequence": sequence,
                }
                for score, token, sequence in zip(scores, tokens, sequences, strict=True)
            ]
        )
    return answer[0] if one_mask else answer


def answer_characters(answer: Any) -> int:
    """Count the characters that an answer has as JSON at least: those of its texts and numbers.

    Args:
        answer: the rows, fillings or scores of one text, a list of such lists, or a vector.
    """
    if isinstance(answer, SparseVector):
        return len(answer) * _WORD_CHARACTERS
    if isinstance(answer, dict):
        of_texts = len(answer.get("sequence", ""))
        return of_texts + _ROW_CHARACTERS + 2 * len(answer.get("tokens", ()))
    return sum(map(answer_characters, answer))


def best_targets(predictions: Predictions, rows: int) -> Predictions:
    """Sort the targets of each mask, best first, equal ones by id, and keep `rows` of them.

    Args:
        predictions: scores [masks, targets] of the ids [targets], ascending.
        rows: how many to keep.
    """
    order = np.argsort(-predictions.scores, axis=1, kind="stable")[:, :rows]
    return Predictions(
        np.take_along_axis(predictions.scores, order, axis=1), predictions.tokens[order]
    )


def log_probabilities(scores: np.ndarray) -> np.ndarray:
    """Return the natural logarithms of probabilities, float64."""
    logs: np.ndarray = np.log(np.maximum(scores.astype(np.float64), _SMALLEST))
    return logs


def filled_row(
    ids: Sequence[int],
    tokens: Sequence[int],
    log_score: float,
    model: Model,
    *,
    skip_special: bool = True,
) -> FilledRow:
    """Return the row of a filling: `tokens` in the order of the masks, `ids` the filled text."""
    tokenizer = model.tokenizer
    return {
        "score": math.exp(log_score),
        "tokens": list(tokens),
        "token_strs": [model.decoder.token(token) for token in tokens],
        "sequence": tokenizer.decode(
            [token for token in ids if token != tokenizer.pad_id],
            skip_special_tokens=skip_special,
        ),
    }
