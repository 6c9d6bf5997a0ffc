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
    queue, or run, than keeps the device busy when nobody else asks; each of them adds a question in
    its turn, behind whoever came meanwhile. So a request that comes waits for one batch of them
    and not for a thousand questions, and a short one among them is not held up by a long one.

    Args:
        waiting: the queue.
        room: tokens that may be in it or be run. One question may always be.
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
        self._tickets: set[InferenceRequest] = set()
        self._turns: deque[InferenceRequest] = deque()

    def takes(self, ticket: InferenceRequest) -> bool:
        """Take a request, unless those in hand need too much already."""
        if ticket.work is None:
            raise ValueError("a request that is not answered in steps")
        if self._tickets and self.passes + ticket.work.passes > self._most:
            return False
        self._tickets.add(ticket)
        self.passes += ticket.work.passes
        return True

    @property
    def refusal(self) -> str:
        """What a request is told that was not taken."""
        return (
            f"The requests in hand need up to {self.passes:,} passes of the model for scores, "
            f"fillings and whole targets, and the server takes at most {self._most:,}: try again "
            "later."
        )

    def add(self, ticket: InferenceRequest) -> None:
        """Let the questions of a request's next step in, as far as there is room."""
        if ticket.work:
            ticket.work.asked = 0
            self._turns.append(ticket)
            self._let_in()

    def were_run(self, places: Iterable[QueueEntry]) -> None:
        """Let others in for questions that have left the queue and were run."""
        if not self._tickets:
            return
        for place in places:
            work = place.ticket.work
            if work and place.ticket in self._tickets:
                length = len(place.question.ids)
                work.inside -= length
                self._inside -= length
        self._let_in()

    def remove(self, ticket: InferenceRequest) -> None:
        """Forget a request that is answered or cancelled."""
        if ticket.work and ticket in self._tickets:
            self._tickets.remove(ticket)
            self.passes -= ticket.work.passes
            self._inside -= ticket.work.inside
            if ticket in self._turns:
                self._turns.remove(ticket)
            self._let_in()

    def _let_in(self) -> None:
        while self._turns and self._inside < self._room:
            ticket = self._turns.popleft()
            work = ticket.work
            if work is None:
                continue
            length = self._waiting.put(ticket, work.asked, time.perf_counter())
            work.asked += 1
            work.inside += length
            self._inside += length
            if work.asked < len(ticket.questions):
                self._turns.append(ticket)
