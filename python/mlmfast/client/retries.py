"""When a request is worth another try, and how long to wait before it."""

from __future__ import annotations

import random
import time
from datetime import UTC
from email.utils import parsedate_to_datetime

# Statuses of a server, or of the proxy before it, that may answer the same request later.
RETRIED = frozenset({429, 502, 503})
# Seconds to wait where the server says nothing: doubled after each try, up to the second number.
_FIRST, _LONGEST = 0.25, 8.0
# Clients that were refused together do not come again together.
_JITTER = 0.2


class RetryBudget:
    """The time that one request may spend waiting for its next tries.

    Args:
        seconds: all waits together; 0: no retries.
    """

    def __init__(self, seconds: float):
        self._left = seconds
        self._backoff = _FIRST

    def wait(self, retry_after: float | None) -> float | None:
        """Return how long to wait before the next try; None where no time is left for it.

        Args:
            retry_after: seconds that the server asks for, if it does.
        """
        seconds = self._backoff if retry_after is None else retry_after
        self._backoff = min(_LONGEST, 2 * self._backoff)
        seconds *= 1 + _JITTER * random.random()  # noqa: S311 (not secret)
        if seconds > self._left:
            return None
        self._left -= seconds
        return seconds


def seconds_of(retry_after: str | None) -> float | None:
    """Read the header `Retry-After`: a number of seconds, or a date."""
    if not retry_after:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        date = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, date.timestamp() - time.time())
