"""Mask rates that are drawn for each row: `RowRates`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlmfast.errors import InputError

_DISTRIBUTIONS = ("uniform", "beta")


@dataclass(frozen=True)
class RowRates:
    """A distribution that gives each row (block) a mask rate of its own, new in every epoch.

    Attributes:
        distribution: `"uniform"` or `"beta"`.
        first: The lowest rate, or the parameter a.
        second: The highest rate, or the parameter b.
    """

    distribution: str
    first: float
    second: float

    @property
    def mean(self) -> float:
        """The mean of the rates."""
        if self.distribution == "beta":
            return self.first / (self.first + self.second)
        return (self.first + self.second) / 2

    def __str__(self) -> str:
        return f"{self.distribution}:{self.first:g},{self.second:g}"

    def describe(self) -> str:
        """Return the rates in words, for reports."""
        if self.distribution == "beta":
            law = f"from Beta({self.first:g}, {self.second:g})"
            return f"{self.mean:.0%} on average (drawn {law} for each block)"
        return f"{self.first:.0%} to {self.second:.0%} (drawn uniformly for each block)"


def parse_mask_rate(rate: Any) -> float | RowRates:
    """Return a mask rate as a number, or the distribution that its text names.

    Args:
        rate: A number; or `"uniform:LOW,HIGH"` or `"beta:A,B"`, for a rate that is drawn for each
            row. The core checks the numbers.

    Raises:
        InputError: It is none of these.
    """
    try:
        if not isinstance(rate, str) or ":" not in rate:
            return float(rate)
        name, numbers = rate.split(":")
        first, second = (float(number) for number in numbers.split(","))
    except (TypeError, ValueError):
        name = ""
    if name not in _DISTRIBUTIONS:
        raise InputError(
            "mlm_probability must be between 0 and 1, or 'uniform:LOW,HIGH' or 'beta:A,B' for a "
            f"rate drawn for each row; got {rate!r}"
        )
    return RowRates(name, first, second)
