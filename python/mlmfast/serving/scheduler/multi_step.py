"""Multi-step requests: their masked texts enter the queue a few at a time."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlmfast.serving.scheduler.queue import QueueEntry, RequestQueue
    from mlmfast.serving.scheduler.request import InferenceRequest


class MultiStepQueue:
    """Feeds the queue from multi-step requests, so that nobody has to wait for all of them.

    One request may need a thousand passes of the model. All such requests together have no more
    tokens in the queue or in batches than keep the device busy; they add one masked text each, in
    turn, behind whatever came meanwhile. So a new request waits for one batch of them and not for
    a thousand masked texts, and a short multi-step request is not held up by a long one.

    Args:
        queue: the queue to feed.
        capacity: tokens that may be in the queue or in batches. One masked text always may.
        max_passes: passes of the model that all multi-step requests together may need.

    Attributes:
        passes: passes of the model that the admitted requests need at most.
    """

    def __init__(self, queue: RequestQueue, *, capacity: int, max_passes: int):
        self.passes = 0
        self._queue = queue
        self._capacity = capacity
        self._max_passes = max_passes
        self._tokens = 0
        self._requests: set[InferenceRequest] = set()
        self._turns: deque[InferenceRequest] = deque()

    def try_admit(self, request: InferenceRequest) -> bool:
        """Admit a request, unless those that are admitted already need too many passes."""
        if request.multi_step is None:
            raise ValueError("the request has no steps")
        if self._requests and self.passes + request.multi_step.passes > self._max_passes:
            return False
        self._requests.add(request)
        self.passes += request.multi_step.passes
        return True

    @property
    def refusal(self) -> str:
        """The message for a request that was not admitted."""
        return (
            f"The requests in hand need up to {self.passes:,} passes of the model for scores, "
            f"fillings and whole targets, and the server takes at most {self._max_passes:,}: try "
            "again later."
        )

    def add_step(self, request: InferenceRequest) -> None:
        """Queue the masked texts of a request's next step, as far as the capacity allows."""
        if request.multi_step:
            request.multi_step.submitted = 0
            self._turns.append(request)
            self._fill_queue()

    def batch_done(self, entries: Iterable[QueueEntry]) -> None:
        """Queue further masked texts in place of those that were run."""
        if not self._requests:
            return
        for entry in entries:
            state = entry.request.multi_step
            if state and entry.request in self._requests:
                length = len(entry.masked_text.ids)
                state.queued_tokens -= length
                self._tokens -= length
        self._fill_queue()

    def remove(self, request: InferenceRequest) -> None:
        """Forget a request that is answered or cancelled."""
        if request.multi_step and request in self._requests:
            self._requests.remove(request)
            self.passes -= request.multi_step.passes
            self._tokens -= request.multi_step.queued_tokens
            if request in self._turns:
                self._turns.remove(request)
            self._fill_queue()

    def _fill_queue(self) -> None:
        while self._turns and self._tokens < self._capacity:
            request = self._turns.popleft()
            state = request.multi_step
            if state is None:
                continue
            length = self._queue.put(request, state.submitted, time.perf_counter())
            state.submitted += 1
            state.queued_tokens += length
            self._tokens += length
            if state.submitted < len(request.masked_texts):
                self._turns.append(request)
