"""When the next batch is run, which masked texts are in it, and which session runs it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlmfast.serving.engine.engine import Engine
    from mlmfast.serving.engine.model import Model
    from mlmfast.serving.scheduler.queue import QueueEntry, RequestQueue


class BatchPolicy:
    """Forms batches from a queue.

    A batch that has the device for itself runs in a session with all cores; that is quickest for
    few masked texts. Many are run in parallel, one batch a core. On a GPU, and with one core, both
    sessions are the same, and batches are always parallel.

    A request that needs several batches is large. While one waits, batches have half the size, and
    its texts join no batch that a smaller request leads. That costs it little of its speed, and the
    others wait for half a batch and not for two.

    Its callers hold the scheduler's lock.

    Args:
        model: its engines run the batches.
        queue: the masked texts that wait.
        max_delay: seconds that a masked text waits for others to share its batch.

    Attributes:
        exclusive: whether a batch is running that has the device for itself.
        running: batches that are running.
    """

    def __init__(self, model: Model, queue: RequestQueue, max_delay: float):
        engine = model.engine
        self.exclusive = False
        self.running = 0
        self._rules = engine.rules
        self._workers = engine.workers
        self._engines = {kind: (each, each.sessions()) for kind, each in model.engines.items()}
        all_cores, single_core = engine.sessions()
        self._may_be_exclusive = all_cores is not single_core
        self._queue = queue
        self._max_delay = max_delay
        self._expected = 1

    def delay(self, in_hand: int, queued: int) -> float:
        """Return how long the next batch shall wait for more requests, in seconds.

        Args:
            in_hand: requests in hand.
            queued: those of them that are tokenized.
        """
        oldest = self._queue.oldest_arrival
        all_came = queued >= max(self._expected, in_hand)
        full = self._queue.tokens >= self._rules.budget
        if oldest is None or all_came or full:
            return 0.0
        return oldest + self._max_delay - time.perf_counter()

    def start_batch(self) -> tuple[list[QueueEntry], Engine, Any]:
        """Remove the next batch from the queue; return it, and what shall run it."""
        self.exclusive = self._may_be_exclusive and not self.running and self._are_few_queued()
        rules, large = self._rules, self._rules.budget
        if self._queue.has_request_over(large):
            rules = replace(rules, budget=max(1, rules.budget // 2))
        if self._may_be_exclusive and not self.exclusive:
            rules = rules.shared_by(self._workers - self.running, self._queue.tokens)
        entries = self._queue.pop_batch(rules, large)
        self.running += 1
        engine, (all_cores, single_core) = self._engines[type(entries[0].masked_text)]
        return entries, engine, all_cores if self.exclusive else single_core

    def end_batch(self, in_hand: int) -> None:
        """Note that a batch ended, and how many requests were in hand then."""
        self.running -= 1
        self.exclusive = False
        self._expected = max(1, in_hand)

    @property
    def parallel(self) -> int:
        """Batches that run side by side while any runs."""
        return self._workers if self.running else 1

    def _are_few_queued(self) -> bool:
        """Whether the queued masked texts make fewer batches than there are cores."""
        shared = self._rules.shared_by(self._workers, self._queue.tokens).budget
        count = len(self._queue) if self._rules.independent else -(-self._queue.tokens // shared)
        return count < max(2, self._workers)
