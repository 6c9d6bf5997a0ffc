"""Accuracy and macro-F1 with standard errors, and paired differences between checkpoints."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest
from scipy.stats import t as student_t
from sklearn.metrics import f1_score

from mlmfast.training.evaluation.statistics import mean_of


@dataclass(frozen=True)
class Score:
    """How well one model tells the test texts apart.

    Attributes:
        model: the checkpoint, by its name in the table.
        method: `linear probe` or `fine-tuned`.
        accuracy: mean over the seeds.
        accuracy_error: its standard error over the seeds: for other divisions of the same training
            texts, on the same test texts. None with one seed.
        text_error: its standard error with the test texts as independent samples: for other test
            texts of the same kind.
        macro_f1: mean over the classes of the test and over the seeds.
        macro_f1_error: its standard error over the seeds.
        by_seed: for each seed, its figures and what it chose on the held-out texts.
        truncated: number of texts, of both training and test, that were cut to the longest length.
        seconds: the duration; that of a probe includes reading the model and computing its states.
    """

    model: str
    method: str
    accuracy: float
    accuracy_error: float | None
    text_error: float | None
    macro_f1: float
    macro_f1_error: float | None
    by_seed: list[dict[str, Any]]
    truncated: int
    seconds: float


@dataclass(frozen=True)
class Difference:
    """A paired difference between two models: the same divisions, the same test texts.

    Attributes:
        method: `linear probe` or `fine-tuned`.
        model: the first model.
        against: the one that it is compared with.
        accuracy: the first's accuracy minus the second's.
        seed_error: standard error of the difference over the seeds; None with one seed.
        text_error: its standard error with the test texts as independent samples.
        low: lower end of the confidence interval of the difference in accuracy.
        high: its upper end.
        confidence: the confidence level.
        macro_f1: the first's macro-F1 minus the second's.
        macro_f1_error: its standard error over the seeds; None with one seed.
        wins: test texts that the first classifies correctly with more seeds than the second.
        losses: those with fewer.
        p_value: of the exact sign test of wins against losses; with one seed this is the exact
            test of McNemar.
    """

    method: str
    model: str
    against: str
    accuracy: float
    seed_error: float | None
    text_error: float | None
    low: float
    high: float
    confidence: float
    macro_f1: float
    macro_f1_error: float | None
    wins: int
    losses: int
    p_value: float

    @property
    def better(self) -> str | None:
        """The model that is significantly better; None if zero lies in the interval."""
        if self.low <= 0 <= self.high:
            return None
        return self.model if self.accuracy > 0 else self.against


def score_of(
    model: str,
    method: str,
    predictions: np.ndarray,
    truth: np.ndarray,
    by_seed: list[dict[str, Any]],
    *,
    truncated: int,
    seconds: float,
) -> Score:
    """Summarize predictions, int64 `[S, M]`, of the classes `truth`, int64 `[M]`."""
    correct = predictions == truth
    accuracy, error = mean_of(correct.mean(1))
    f1 = macro_f1s(predictions, truth)
    mean_f1, f1_error = mean_of(f1)
    figures = zip(correct.mean(1).tolist(), f1.tolist(), by_seed, strict=True)
    return Score(
        model=model,
        method=method,
        accuracy=accuracy,
        accuracy_error=_known(error),
        text_error=_known(mean_of(correct.mean(0)).error),
        macro_f1=mean_f1,
        macro_f1_error=_known(f1_error),
        by_seed=[{**chosen, "accuracy": one, "macro_f1": other} for one, other, chosen in figures],
        truncated=truncated,
        seconds=seconds,
    )


def macro_f1s(predictions: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the mean F1 of the classes that occur in `truth`, float64 `[S]`."""
    present = np.unique(truth)
    return np.array(
        [
            f1_score(truth, one, labels=present, average="macro", zero_division=0)
            for one in predictions
        ]
    )


def difference_of(
    one: tuple[str, np.ndarray],
    other: tuple[str, np.ndarray],
    method: str,
    truth: np.ndarray,
    confidence: float,
) -> Difference:
    """Compare two models' predictions, int64 `[S, M]`, of the same seeds and test texts.

    The interval adds the variances over seeds and over texts, and takes Student's t with the
    degrees of freedom of Welch and Satterthwaite.
    """
    (name, first), (against, second) = one, other
    gains = (first == truth).astype(np.float64) - (second == truth)
    by_seed, by_text = gains.mean(1), gains.mean(0)
    mean, seed_error = mean_of(by_seed)
    text_error = mean_of(by_text).error
    f1, f1_error = mean_of(macro_f1s(first, truth) - macro_f1s(second, truth))
    margin = _margin([(seed_error, len(by_seed)), (text_error, len(by_text))], confidence)
    wins, losses = int((by_text > 0).sum()), int((by_text < 0).sum())
    return Difference(
        method=method,
        model=name,
        against=against,
        accuracy=mean,
        seed_error=_known(seed_error),
        text_error=_known(text_error),
        low=mean - margin,
        high=mean + margin,
        confidence=confidence,
        macro_f1=f1,
        macro_f1_error=_known(f1_error),
        wins=wins,
        losses=losses,
        p_value=float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0,
    )


def _margin(errors: list[tuple[float, int]], confidence: float) -> float:
    """Return the half-width of the interval of a mean with several sources of error.

    Args:
        errors: each source's standard error, NaN if unknown, and its number of observations.
        confidence: the confidence level.
    """
    known = [(error**2, count - 1) for error, count in errors if not math.isnan(error)]
    variance = sum(each for each, _ in known)
    if not known:
        return math.inf
    if not variance:
        return 0.0
    freedom = variance**2 / sum(each**2 / count for each, count in known)
    return float(student_t.ppf((1 + confidence) / 2, freedom) * math.sqrt(variance))


def _known(error: float) -> float | None:
    return None if math.isnan(error) else error
