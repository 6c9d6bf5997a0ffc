"""Mask rates that change with the steps."""

from __future__ import annotations

import itertools

import pytest

from mlmfast import MaskRateSchedule
from mlmfast.errors import InputError


def test_the_rate_goes_straight_from_start_to_end_and_stays():
    schedule = MaskRateSchedule("0.3:0.15", 10)
    rates = [schedule.rate(step) for step in range(12)]
    assert rates[0] == 0.3
    assert rates[10] == rates[11] == pytest.approx(0.15)
    steps = [before - after for before, after in itertools.pairwise(rates[:11])]
    assert steps == pytest.approx([0.015] * 10)
    assert MaskRateSchedule("0:1", 4).rate(1) == 0.25


@pytest.mark.parametrize(
    ("rates", "steps", "words"),
    [
        ("0.3", 10, "'start:end'"),
        ("a:b", 10, "'start:end'"),
        (0.3, 10, "'start:end'"),
        ("0.3:1.5", 10, "between 0 and 1"),
        ("nan:0.1", 10, "between 0 and 1"),
        ("0.3:0.1", 0, "at least 1 step"),
    ],
)
def test_bad_schedules_are_named(rates, steps, words):
    with pytest.raises(InputError, match=words):
        MaskRateSchedule(rates, steps)
