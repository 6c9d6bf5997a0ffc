"""From logits at masks to the best tokens and their probabilities."""

from __future__ import annotations

import numpy as np

from mlmfast.errors import MlmfastError
from mlmfast.serving.questions import Found

NAN = (
    "The model gives NaN at a mask: its weights are broken, most likely by a training run that "
    "diverged."
)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, in float32.

    Args:
        logits: [..., vocabulary], any float dtype.

    Raises:
        MlmfastError: a logit is NaN, so that no order among the tokens means anything.
    """
    values = logits.astype(np.float32)
    peak = values.max(axis=-1, keepdims=True)
    if np.isnan(peak).any():
        raise MlmfastError(NAN)
    values -= peak
    np.exp(values, out=values)
    values /= values.sum(axis=-1, keepdims=True)
    return values


def best_tokens(scores: np.ndarray, top_k: int) -> Found:
    """Choose the `top_k` likeliest tokens of each mask, best first, equal ones by id.

    Args:
        scores: probabilities, [masks, vocabulary].
        top_k: how many; at most the vocabulary.
    """
    shape = (len(scores), top_k)
    tokens = np.zeros(shape, np.int64)
    best = np.zeros(shape, np.float32)
    if top_k:
        for mask, row in enumerate(scores):
            # Where several tokens tie for the last place, the lowest ids take it.
            least = np.partition(row, len(row) - top_k)[len(row) - top_k]
            chosen = np.flatnonzero(row >= least)
            chosen = chosen[np.lexsort((chosen, -row[chosen]))][:top_k]
            tokens[mask], best[mask] = chosen, row[chosen]
    return Found(best, tokens)
