"""Accuracies, their standard errors, and paired differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlmfast.training.probing.scores import difference_of, macro_f1s, score_of

CHANCE = np.random.default_rng(0)


def answers(truth, accuracies, chance=CHANCE):
    """Predictions of two classes with about these accuracies, `[S, M]`."""
    right = chance.random((len(accuracies), len(truth))) < np.array(accuracies)[:, None]
    return np.where(right, truth, 1 - truth)


def test_errors_are_those_of_means_over_seeds_and_over_texts():
    truth = CHANCE.integers(0, 2, 500)
    predictions = answers(truth, (0.7, 0.8, 0.9))
    score = score_of("m", "probe", predictions, truth, [{}] * 3, truncated=0, seconds=1.0)
    by_seed = (predictions == truth).mean(1)
    assert score.accuracy == pytest.approx(by_seed.mean())
    assert score.accuracy_error == pytest.approx(by_seed.std(ddof=1) / math.sqrt(3))
    by_text = (predictions == truth).mean(0)
    assert score.text_error == pytest.approx(by_text.std(ddof=1) / math.sqrt(500))
    assert [one["accuracy"] for one in score.by_seed] == pytest.approx(by_seed.tolist())


def test_one_seed_has_no_error_over_seeds():
    truth = np.array([0, 1, 1])
    score = score_of("m", "probe", truth[None], truth, [{}], truncated=0, seconds=1.0)
    assert (score.accuracy, score.accuracy_error, score.macro_f1_error) == (1.0, None, None)


def test_macro_f1_is_the_mean_over_the_classes_of_the_test():
    truth = np.array([0, 0, 0, 1])
    # Class 0: precision 2/3, recall 2/3; class 1: 0. Class 2 is answered, but is not in the test.
    assert macro_f1s(np.array([[0, 0, 2, 0]]), truth) == pytest.approx([(2 / 3 + 0) / 2])


def test_a_difference_is_paired():
    truth = CHANCE.integers(0, 2, 400)
    one = answers(truth, (0.75, 0.8, 0.7))
    other = one.copy()
    other[:, :12] = 1 - truth[:12]  # the same but for twelve texts, all wrong
    found = difference_of(("one", one), ("other", other), "probe", truth, 0.95)
    gains = (one == truth).astype(float) - (other == truth)
    assert found.accuracy == pytest.approx(gains.mean())
    assert found.seed_error == pytest.approx(gains.mean(1).std(ddof=1) / math.sqrt(3))
    assert found.text_error == pytest.approx(gains.mean(0).std(ddof=1) / math.sqrt(400))
    # What is hard is hard for both: the error is far below that of either accuracy.
    alone = score_of("m", "p", one, truth, [{}] * 3, truncated=0, seconds=0.0)
    assert found.text_error < 0.7 * alone.text_error
    assert found.better == "one"
    swapped = difference_of(("other", other), ("one", one), "probe", truth, 0.95)
    assert (swapped.accuracy, swapped.low) == pytest.approx((-found.accuracy, -found.high))
    assert swapped.better == "one"


def test_a_model_is_not_better_than_itself():
    truth = CHANCE.integers(0, 2, 50)
    same = answers(truth, (0.6, 0.7))
    found = difference_of(("one", same), ("other", same), "probe", truth, 0.95)
    assert (found.accuracy, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)
    assert found.better is None


def test_one_seed_gives_mcnemars_exact_test():
    truth = np.zeros(30, np.int64)
    one, other = truth.copy()[None], truth.copy()[None]
    one[0, :3], other[0, 10:22] = 1, 1  # 3 texts are lost, 12 won
    found = difference_of(("one", one), ("other", other), "probe", truth, 0.95)
    assert (found.wins, found.losses, found.seed_error) == (12, 3, None)
    exact = 2 * sum(math.comb(15, k) for k in range(4)) / 2**15
    assert found.p_value == pytest.approx(exact)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Seeds that differ and texts that differ: the interval covers both."""
    chance = np.random.default_rng(1)
    truth = np.zeros(300, np.int64)
    held = 0
    rounds = 400
    for _ in range(rounds):
        # The second model is 5 points worse on average; each division shifts it by 2 points.
        shift = chance.normal(0.05, 0.02, 5)
        hard = chance.random(300)
        one = (hard[None] > 0.8).astype(np.int64).repeat(5, axis=0)
        other = (hard[None] > 0.8 - shift[:, None]).astype(np.int64)
        found = difference_of(("one", one), ("other", other), "probe", truth, 0.9)
        held += found.low <= 0.05 <= found.high
    # It is on the safe side, since the variance over texts has a part of that over seeds in it.
    assert 0.87 < held / rounds <= 1.0
