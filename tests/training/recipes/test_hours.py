"""A recipe scaled to a number of hours: as long as possible, in whole steps."""

from __future__ import annotations

import pytest

from mlmfast.errors import InputError
from mlmfast.training.recipes.hours import Pace, check_hours, hours_of, scale_to_hours
from mlmfast.training.recipes.layout import BlockCounts
from mlmfast.training.recipes.recipe import Recipe

PACES = [Pace(BlockCounts(16, 100), 160.0), Pace(BlockCounts(32, 100), 80.0)]
RECIPE = {
    "learning_rate": 1e-3,
    "batch_size": 10,
    "phases": [{"steps": 900, "warmup_steps": 100}, {"epochs": 1}],
}


def scaled(hours, recipe=RECIPE, paces=PACES):
    found = Recipe.parse(recipe, "r.yaml")
    factor = scale_to_hours(found, hours, paces, 1e-3)
    return found, factor


@pytest.mark.parametrize("hours", [0.02, 0.1, 0.3, 5.0, 1000.0])
def test_the_steps_fill_the_hours(hours):
    """Steps take a second in the first phase, and four in the second one, of 10 steps."""
    found, factor = scaled(hours)
    taken = hours_of(found.scaled(factor).phases, PACES, 1e-3)
    assert hours - 5 / 3600 < taken <= hours
    assert factor == pytest.approx(hours / (940 / 3600), rel=0.1)
    # A little longer is another step, and too long.
    assert hours_of(found.scaled(factor * 1.0001).phases, PACES, 1e-3) >= taken


def test_lengths_that_were_rounded_up_to_a_step_grow_too():
    tiny = RECIPE | {"scale": 1e-9, "phases": [{"steps": 900}, {"epochs": 1}]}
    found, factor = scaled(1.0, tiny)
    assert hours_of(found.scaled(factor).phases, PACES, 1e-3) == pytest.approx(1, rel=0.01)


def test_batches_that_grow():
    phase = {"tokens": "1M", "batch_size_warmup_min_size": 2, "batch_size_warmup_tokens": "200K"}
    found, factor = scaled(2.0, RECIPE | {"phases": [phase]}, PACES[:1])
    taken = hours_of(found.scaled(factor).phases, PACES[:1], 1e-3)
    assert 2 - 2 / 3600 < taken <= 2


def test_hours_that_are_too_short():
    with pytest.raises(InputError, match=r"hours is 0.001: too short for the phases of r.yaml"):
        scaled(0.001)


@pytest.mark.parametrize(
    ("hours", "speed", "has_recipe", "message"),
    [
        (0, None, True, "hours is 0; expected a positive number"),
        ("2h", None, True, "hours is '2h'"),
        (True, None, True, "hours is True"),
        (1, -5, True, "tokens_per_second is -5"),
        (2, None, False, r"hours \(2\) multiplies the lengths of a recipe.*max_time"),
        (None, 5.0, True, r"tokens_per_second \(5\) goes with hours"),
    ],
)
def test_what_is_refused(hours, speed, has_recipe, message):
    with pytest.raises(InputError, match=message):
        check_hours(hours, speed, has_recipe=has_recipe)
