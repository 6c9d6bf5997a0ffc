"""Which requests a scheduler accepts, and when a refused one should come again."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from mlmfast.serving.scheduler.queue import MAX_CHARACTERS, QueueFullError, QueueLimits

if TYPE_CHECKING:
    from mlmfast.serving.scheduler.request import InferenceRequest

# Weight of the newest batch in the average time of a text.
_NEWEST = 0.2
_MAX_RETRY_SECONDS = 60
# By this part clients with less than an equal share may exceed the limits.
_RESERVE = 0.25


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
        self._texts_of: Counter[str] = Counter()  # client -> its texts
        self._seconds_per_text = 0.0

    def admit(self, request: InferenceRequest) -> None:
        """Accept a request. One that comes alone is accepted however large it is.

        A client that has less than an equal share of the queue may exceed the limits a little, so
        that another that fills the queue does not lock it out.

        Raises:
            QueueFullError: too many texts, or too long ones, are in hand.
        """
        room = 1 + _RESERVE if self._has_less_than_others(request) else 1.0
        too_many = self.texts + len(request.texts) > self._limits.max_texts * room
        too_long = self._characters + request.characters > MAX_CHARACTERS * room
        if self.requests and (too_many or too_long):
            raise QueueFullError(
                f"The server has {self.texts} texts in hand, and takes at most "
                f"{self._limits.max_texts}: try again later.",
                self.retry_after(self.texts),
            )
        self.requests.add(request)
        self.texts += len(request.texts)
        self._texts_of[request.share.client] += len(request.texts)
        self._characters += request.characters

    def _has_less_than_others(self, request: InferenceRequest) -> bool:
        """Whether a client has, with a request, at most an equal share of the queue."""
        client = request.share.client
        clients = len(self._texts_of) + (client not in self._texts_of)
        own = self._texts_of.get(client, 0) + len(request.texts)
        return clients > 1 and own * clients <= self._limits.max_texts

    def release(self, request: InferenceRequest) -> None:
        """Count a request no longer: it is answered, refused or cancelled."""
        self.requests.discard(request)
        self.texts -= len(request.texts)
        self._texts_of[request.share.client] -= len(request.texts)
        if not self._texts_of[request.share.client]:
            del self._texts_of[request.share.client]
        self._characters -= request.characters

    def observe(self, seconds_per_text: float) -> None:
        """Take the time that each text of a batch took into the average."""
        self._seconds_per_text += _NEWEST * (seconds_per_text - self._seconds_per_text)

    def retry_after(self, masked_texts: int) -> int:
        """Estimate after how many seconds so many masked texts are answered."""
        seconds = math.ceil(masked_texts * self._seconds_per_text)
        return min(_MAX_RETRY_SECONDS, max(1, seconds))
