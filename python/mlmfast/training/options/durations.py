"""Durations such as `90m`, `2h`, `1h30m`, or a number of seconds."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from mlmfast.errors import InputError

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_PART = r"(\d+(?:\.\d+)?)\s*([dhms])\s*"


def seconds_of(duration: str | float | timedelta | None) -> float | None:
    """Convert a duration to seconds; None stays None.

    Args:
        duration: a number of seconds, parts with units (`1d`, `2h`, `90m`, `1h30m`, `45s`), the
            form of a clock (`1:30:00`), or a `timedelta`.

    Raises:
        InputError: another form, or a duration that is not longer than zero.

    >>> [seconds_of(each) for each in ("90m", "1h30m", "1:30:00", 5400)]
    [5400.0, 5400.0, 5400.0, 5400.0]
    """
    if duration is None:
        return None
    seconds = _seconds(duration)
    if seconds is None or not 0 < seconds < math.inf:
        raise InputError(
            f"{duration!r} is not a duration; expected one such as 90m, 2h, 1h30m, 1:30:00 or a "
            "number of seconds, longer than zero."
        )
    return seconds


def _seconds(duration: str | float | timedelta) -> float | None:
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    text = str(duration).strip().lower()
    if re.fullmatch(rf"(?:{_PART})+", text):
        return sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, text))
    if clock := re.fullmatch(r"(\d+):(\d\d):(\d\d)", text):
        hours, minutes, seconds = map(int, clock.groups())
        return float(3600 * hours + 60 * minutes + seconds)
    try:
        return float(text)
    except ValueError:
        return None
