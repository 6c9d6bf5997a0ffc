"""Questions of requests that are answered in steps: they enter the queue a few at a time."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlmfast.serving.scheduler.queue import QueueEntry, RequestQueue
    from mlmfast.serving.scheduler.request import InferenceRequest


class MultiStepQueue:
    """What stands before the queue, so that nobody has to wait for all of it.

    One request may ask the model a thousand times. Of all such requests together no more is in the
    queue, or run, than keeps the device busy when nobody else asks; each of them adds a masked text
    in its turn, behind whoever came meanwhile. So a request that comes waits for one batch of them
    and not for a thousand masked texts, and a short one among them is not held up by a long one.

    Args:
        waiting: the queue.
        room: tokens that may be in it or be run. One masked text may always be.
        most: passes that all requests together may need.

    Attributes:
        passes: how many they may need at most.
    """

    def __init__(self, waiting: RequestQueue, *, room: int, most: int):
        self.passes = 0
        self._waiting = waiting
        self._room = room
        self._most = most
        self._inside = 0
        self._requests: set[InferenceRequest] = set()
        self._turns: deque[InferenceRequest] = deque()

    def takes(self, request: InferenceRequest) -> bool:
        """Take a request, unless those in hand need too much already."""
        if request.work is None:
            raise ValueError("a request that is not answered in steps")
        if self._requests and self.passes + request.work.passes > self._most:
            return False
        self._requests.add(request)
        self.passes += request.work.passes
        return True

    @property
    def refusal(self) -> str:
        """What a request is told that was not taken."""
        return (
            f"The requests in hand need up to {self.passes:,} passes of the model for scores, "
            f"fillings and whole targets, and the server takes at most {self._most:,}: try again "
            "later."
        )

    def add(self, request: InferenceRequest) -> None:
        """Let the masked texts of a request's next step in, as far as there is room."""
        if request.work:
            request.work.task = 0
            self._turns.append(request)
            self._let_in()

    def were_run(self, entries: Iterable[QueueEntry]) -> None:
        """Let others in for masked texts that have left the queue and were run."""
        if not self._requests:
            return
        for entry in entries:
            work = entry.request.work
            if work and entry.request in self._requests:
                length = len(entry.masked_text.ids)
                work.inside -= length
                self._inside -= length
        self._let_in()

    def remove(self, request: InferenceRequest) -> None:
        """Forget a request that is answered or cancelled."""
        if request.work and request in self._requests:
            self._requests.remove(request)
            self.passes -= request.work.passes
            self._inside -= request.work.inside
            if request in self._turns:
                self._turns.remove(request)
            self._let_in()

    def _let_in(self) -> None:
        while self._turns and self._inside < self._room:
            request = self._turns.popleft()
            work = request.work
            if work is None:
                continue
            length = self._waiting.put(request, work.task, time.perf_counter())
            work.task += 1
            work.inside += length
            self._inside += length
            if work.task < len(request.masked_texts):
                self._turns.append(request)
