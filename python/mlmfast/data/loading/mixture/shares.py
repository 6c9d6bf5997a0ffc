"""The shares of a mixture's sources, and their slots in a period."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

PERIOD = 1 << 16
"""Blocks of a mixture in which every source has exactly its share."""


def normalize(weights: Sequence[float], names: Sequence[str]) -> tuple[float, ...]:
    """Divide weights by their sum.

    Raises:
        InputError: There are more or fewer weights than names, or one is not a positive number.
    """
    if len(weights) != len(names):
        raise InputError(
            f"A mixture of {len(names)} stores ({', '.join(names)}) needs as many probabilities, "
            f"got {len(weights)}."
        )
    for weight, name in zip(weights, names, strict=True):
        if not (isinstance(weight, int | float) and math.isfinite(weight) and weight > 0):
            raise InputError(f"The share of {name} must be a positive number, got {weight!r}.")
    total = math.fsum(weights)
    if math.isclose(total, 1.0, rel_tol=1e-12):
        return tuple(map(float, weights))  # to the last bit what they were
    return tuple(weight / total for weight in weights)


def shares_by_size(tokens: Sequence[int], temperature: float) -> tuple[float, ...]:
    """Return shares in proportion to `tokens ** (1 / temperature)`.

    A temperature of 1 keeps the proportions of the sizes; a higher one gives small sources more, as
    in the training of multilingual models (Conneau et al. 2020, XLM-R, whose exponent 0.3 is a
    temperature of 3.33).

    Raises:
        InputError: The temperature is not a positive number.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise InputError(
            f"The temperature of a mixture must be a positive number, got {temperature!r}."
        )
    # Relative to the largest, so that no power of a count overflows.
    largest = max(tokens)
    weights = [(count / largest) ** (1 / temperature) for count in tokens]
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)


def slots_of(shares: Sequence[float], names: Sequence[str]) -> tuple[int, ...]:
    """Divide the slots of a period by the largest remainders (Hamilton's method).

    Raises:
        InputError: A share is so small that the source gets no slot.
    """
    exact = [share * PERIOD for share in shares]
    slots = [math.floor(each) for each in exact]
    by_remainder = sorted(range(len(exact)), key=lambda source: slots[source] - exact[source])
    for source in by_remainder[: PERIOD - sum(slots)]:
        slots[source] += 1
    for share, count, name in zip(shares, slots, names, strict=True):
        if not count:
            raise InputError(
                f"The share of {name} is {share:.2g}, less than one block in {PERIOD:,}: give it "
                "more, or leave it out."
            )
    return tuple(slots)
