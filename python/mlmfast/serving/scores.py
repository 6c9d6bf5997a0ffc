"""From logits at a mask to the best tokens and their probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmfast.errors import MlmfastError

if TYPE_CHECKING:
    from collections.abc import Sequence


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
        raise MlmfastError(
            "The model gives NaN at a mask: its weights are broken, most likely by a training run "
            "that diverged."
        )
    values -= peak
    np.exp(values, out=values)
    values /= values.sum(axis=-1, keepdims=True)
    return values


def best_tokens(
    probability: np.ndarray, rows: int, targets: Sequence[int] | None
) -> list[tuple[int, float]]:
    """Choose the `rows` likeliest tokens of one mask, best first, equal ones by id.

    Args:
        probability: [vocabulary]. Not renormalised over `targets`.
        rows: how many; at most the number of candidates.
        targets: the only ids to choose from, ascending; None: all.

    Returns:
        Pairs of token id and probability.
    """
    scores = probability if targets is None else probability[np.asarray(targets)]
    if rows == 0:
        return []
    chosen = np.argpartition(-scores, rows - 1)[:rows]
    chosen = chosen[np.lexsort((chosen, -scores[chosen]))]
    return [
        (int(index) if targets is None else targets[index], float(scores[index]))
        for index in chosen
    ]
