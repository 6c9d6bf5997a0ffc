"""The numbers of recipes: `1.7T` tokens, `8e-4`."""

from __future__ import annotations

import math
import re
from typing import Any

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_NAMES = ("", "K", "M", "B", "T")


def number(value: Any) -> float:
    """Return a finite number; text too, since YAML takes `8e-4` for text.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(value)  # noqa: TRY004 - one error for whatever is no number
    found = float(value)
    if not math.isfinite(found):
        raise ValueError(value)
    return found


def amount(value: Any) -> float:
    """Return a positive number that may have a unit: `250K`, `3M`, `1.7B`, `1.7T`.

    Raises:
        ValueError: it is none.

    >>> [amount(each) for each in ("1.7T", "3 M", 12, "4e9")]
    [1700000000000.0, 3000000.0, 12.0, 4000000000.0]
    """
    unit = 1
    if isinstance(value, str) and (found := re.fullmatch(r"(.*?)\s*([KMBT])", value.strip())):
        value, unit = found[1], _UNITS[found[2]]
    given = number(value)
    if given <= 0:
        raise ValueError(value)
    return given * unit


def count(value: Any) -> int:
    """Return a whole number from 1 up; it may have a unit, as those of `amount`.

    Raises:
        ValueError: it is none.
    """
    given = amount(value)
    if given != int(given):
        raise ValueError(value)
    return int(given)


def short(value: float) -> str:
    """Write an amount with three digits and its unit.

    >>> [short(each) for each in (12, 4608, 1.7e12, 52_428_800)]
    ['12', '4.61K', '1.7T', '52.4M']
    """
    power = 0
    while abs(value) >= 999.5 and power < len(_NAMES) - 1:
        value /= 1000
        power += 1
    return f"{value:.3g}{_NAMES[power]}"
