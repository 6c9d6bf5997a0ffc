"""The linear probe: multinomial logistic regression on frozen features."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

if TYPE_CHECKING:
    from mlmfast.training.probing.tasks import Division

# Inverse strengths of the L2 penalty on standardized features, the strongest first.
STRENGTHS = tuple(10.0**power for power in range(-5, 2))
_ITERATIONS = 2000


class LinearProbe(NamedTuple):
    """A fitted probe.

    Attributes:
        predictions: int64 `[M]`, the classes of the test texts.
        strength: the inverse strength `C` of the penalty.
        held_out_accuracy: accuracy on the texts that chose it.
    """

    predictions: np.ndarray
    strength: float
    held_out_accuracy: float


def fit_linear_probe(
    features: np.ndarray, classes: np.ndarray, division: Division, test_features: np.ndarray
) -> LinearProbe:
    """Fit a probe on one division of the training texts.

    The strength of the penalty is the one with the least log loss on the held-out texts.

    Args:
        features: float32 `[N, D]`, of the training texts.
        classes: int64 `[N]`, with every class among the rows to fit.
        division: the rows to fit, and those to choose the strength on.
        test_features: float32 `[M, D]`.
    """
    scaler = StandardScaler().fit(features[division.fit])
    fit, held_out, test = (
        scaler.transform(each)
        for each in (features[division.fit], features[division.held_out], test_features)
    )
    probe = LogisticRegression(max_iter=_ITERATIONS, warm_start=True)
    best: tuple[float, LinearProbe] | None = None
    for strength in STRENGTHS:  # each starts from the one before
        probe.set_params(C=strength).fit(fit, classes[division.fit])
        loss = log_loss(
            classes[division.held_out], probe.predict_proba(held_out), labels=probe.classes_
        )
        if best is None or loss < best[0]:
            accuracy = float((probe.predict(held_out) == classes[division.held_out]).mean())
            best = loss, LinearProbe(probe.predict(test), strength, accuracy)
    assert best is not None  # noqa: S101 - there is more than one strength
    return best[1]
