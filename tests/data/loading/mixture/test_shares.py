"""Shares of a mixture, and their slots in a period."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlmfast.data.loading.mixture.shares import PERIOD, normalize, shares_by_size, slots_of
from mlmfast.errors import InputError

WEIGHTS = st.lists(st.floats(0.01, 100), min_size=1, max_size=12)


@given(WEIGHTS)
def test_every_source_has_its_slots_to_one(weights):
    names = [str(number) for number in range(len(weights))]
    shares = normalize(weights, names)
    slots = slots_of(shares, names)
    assert sum(slots) == PERIOD
    assert all(abs(count - share * PERIOD) < 1 for count, share in zip(slots, shares, strict=True))
    assert slots_of(normalize(shares, names), names) == slots, "what was normalized stays"


def test_shares_by_size_are_those_of_the_counts_at_temperature_1_and_flatter_above():
    assert shares_by_size([300, 100], 1.0) == pytest.approx((0.75, 0.25))
    one, other = 300**0.5, 100**0.5
    assert shares_by_size([300, 100], 2.0) == pytest.approx(
        (one / (one + other), other / (one + other))
    )
    assert shares_by_size([10**15, 1], 1e-3) == (1.0, 0.0)  # no power of a count overflows


@pytest.mark.parametrize("weight", [0, -1.0, math.nan, math.inf, "much"])
def test_a_weight_that_is_no_share_is_named(weight):
    with pytest.raises(
        InputError, match=f"share of code must be a positive number, got {weight!r}"
    ):
        normalize([1.0, weight], ["wiki", "code"])


def test_as_many_weights_as_stores_are_needed():
    with pytest.raises(InputError, match=r"2 stores \(wiki, code\) needs as many .*, got 1"):
        normalize([1.0], ["wiki", "code"])


def test_a_share_without_a_slot_is_refused():
    with pytest.raises(InputError, match="share of code is 1e-06, less than one block in 65,536"):
        slots_of((1 - 1e-6, 1e-6), ["wiki", "code"])


@pytest.mark.parametrize("temperature", [0.0, -2.0, math.inf, math.nan])
def test_a_temperature_that_is_none(temperature):
    with pytest.raises(InputError, match="temperature of a mixture must be a positive number"):
        shares_by_size([1, 2], temperature)
