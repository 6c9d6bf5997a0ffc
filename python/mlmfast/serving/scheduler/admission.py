"""Which requests a scheduler accepts, and when a refused one should come again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mlmfast.serving.scheduler.queue import MAX_CHARACTERS, QueueFullError, QueueLimits

if TYPE_CHECKING:
    from mlmfast.serving.scheduler.request import InferenceRequest

# Weight of the newest batch in the average time of a text.
_NEWEST = 0.2
_MAX_RETRY_SECONDS = 60


class AdmissionControl:
    """Counts the requests in hand, from their arrival to their response, and bounds them.

    Its callers hold the scheduler's lock.

    Args:
        limits: how much may be in hand.

    Attributes:
        requests: the requests in hand.
        texts: their texts.
    """

    def __init__(self, limits: QueueLimits):
        self.requests: set[InferenceRequest] = set()
        self.texts = 0
        self._limits = limits
        self._characters = 0
        self._seconds_per_text = 0.0

    def admit(self, request: InferenceRequest) -> None:
        """Accept a request. One that comes alone is accepted however large it is.

        Raises:
            QueueFullError: too many texts, or too long ones, are in hand.
        """
        too_many = self.texts + len(request.texts) > self._limits.max_texts
        too_long = self._characters + request.characters > MAX_CHARACTERS
        if self.requests and (too_many or too_long):
            raise QueueFullError(
                f"The server has {self.texts} texts in hand, and takes at most "
                f"{self._limits.max_texts}: try again later.",
                self.retry_after(self.texts),
            )
        self.requests.add(request)
        self.texts += len(request.texts)
        self._characters += request.characters

    def release(self, request: InferenceRequest) -> None:
        """Count a request no longer: it is answered, refused or cancelled."""
        self.requests.discard(request)
        self.texts -= len(request.texts)
        self._characters -= request.characters

    def observe(self, seconds_per_text: float) -> None:
        """Take the time that each text of a batch took into the average."""
        self._seconds_per_text += _NEWEST * (seconds_per_text - self._seconds_per_text)

    def retry_after(self, masked_texts: int) -> int:
        """Estimate after how many seconds so many masked texts are answered."""
        seconds = math.ceil(masked_texts * self._seconds_per_text)
        return min(_MAX_RETRY_SECONDS, max(1, seconds))
