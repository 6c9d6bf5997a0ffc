"""Continuous batching: whenever the device is free, what waits then becomes its next batch."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from mlmfast.errors import MlmfastError
from mlmfast.serving.scheduler.execute import fail, finish, report_of, response_of, run_batch
from mlmfast.serving.scheduler.multi_step import MultiStepQueue
from mlmfast.serving.scheduler.queue import (
    FULL_REQUESTS,
    MOST_CHARACTERS,
    ClosedError,
    QueueEntry,
    QueueFullError,
    QueueLimits,
    RequestQueue,
)
from mlmfast.serving.scheduler.request import InferenceRequest
from mlmfast.serving.scheduler.tokenize import read_tickets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.serving.engine.model import Model
    from mlmfast.serving.scheduler.request import SchedulerObserver
    from mlmfast.serving.tasks.base import Task
    from mlmfast.serving.tasks.fill_mask import FillMaskTask
    from mlmfast.serving.types import Predictions

logger = logging.getLogger(__name__)

# Texts that are tokenized in one call, so that the device gets the first of them soon.
_READ_AT_ONCE = 256
# How much the newest batch counts in the average time of a text.
_NEWEST = 0.2


class Scheduler:
    """One model's queue, the thread that tokenizes for it, and those that run its batches.

    A request that comes while nothing else is in hand is run at once. Others wait, `max_delay` at
    most, until as many requests are in hand as there were when the last batch was done (clients
    that got an answer soon ask again), or until a batch is full.

    As in `Engine`, few masked texts are run by a session with all cores, which has the device for
    itself, and many by as many threads as there are cores, each with a batch of its own.

    A request that is answered in steps asks the masked texts of its next step once those of the
    last one are answered. They share batches with everybody's, and take turns (see `Backlog`).

    Args:
        model: what answers.
        limits: how much may be in hand.
        watch: who counts batches and waiting times.
    """

    def __init__(self, model: Model, limits: QueueLimits, watch: SchedulerObserver | None = None):
        self._model = model
        self._limits = limits
        self._watch = watch
        self._sessions = model.engine.sessions()
        self._workers = model.engine.workers
        # With all cores for a lone batch: not on a GPU, and nothing to gain from one core.
        self._splits = self._sessions[0] is not self._sessions[1]
        lock = threading.Lock()
        self._unread_came = threading.Condition(lock)
        self._changed = threading.Condition(lock)
        self._unread: deque[InferenceRequest] = deque()
        self._waiting = RequestQueue()
        self._backlog = MultiStepQueue(
            self._waiting,
            room=model.engine.rules.budget * self._workers,
            most=limits.max_passes * FULL_REQUESTS,
        )
        self._requests: set[InferenceRequest] = set()
        self._reading = 0
        self._texts = 0
        self._characters = 0
        self._expected = 1
        self._busy = 0
        self._alone = False
        self._seconds_a_text = 0.0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._read, name="mlmfast-read", daemon=True),
            *(
                threading.Thread(target=self._work, name=f"mlmfast-run-{number}", daemon=True)
                for number in range(self._workers)
            ),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def texts(self) -> int:
        """Texts that are in hand."""
        return self._texts

    def submit(self, texts: Sequence[str], task: FillMaskTask | Task) -> InferenceRequest:
        """Take a request.

        Raises:
            QueueFullError: too much is in hand. Where it is the passes of requests that are
                answered in steps, the request's future says so.
            ClosedError: the scheduler was closed.
        """
        request = InferenceRequest(texts, task)
        with self._changed:
            if self._closed:
                raise ClosedError("This model takes no more requests.")
            many = self._texts + len(texts) > self._limits.max_texts
            if self._requests and (many or self._characters + request.characters > MOST_CHARACTERS):
                raise QueueFullError(
                    f"The server has {self._texts} texts in hand, and takes at most "
                    f"{self._limits.max_texts}: try again later.",
                    self._seconds_for(self._texts),
                )
            self._requests.add(request)
            self._texts += len(texts)
            self._characters += request.characters
            self._unread.append(request)
            self._unread_came.notify()
        request.future.add_done_callback(lambda _: self._forget(request))
        return request

    def close(self) -> None:
        """Take no more requests, and wait until those in hand are answered."""
        with self._changed:
            self._closed = True
            self._unread_came.notify_all()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def abandon(self) -> None:
        """Take no more requests, and fail those in hand."""
        with self._changed:
            self._closed = True
            requests = list(self._requests)
            self._unread_came.notify_all()
            self._changed.notify_all()
        for request in requests:
            fail(request, ClosedError("The server stopped before this request was answered."))

    def _seconds_for(self, masked_texts: int) -> int:
        return min(60, max(1, math.ceil(masked_texts * self._seconds_a_text)))

    def _forget(self, request: InferenceRequest) -> None:
        """Take a request that is answered, refused or cancelled out of the books."""
        with self._changed:
            if request.closed:
                return
            request.closed = True
            self._requests.discard(request)
            self._texts -= len(request.texts)
            self._characters -= request.characters
            if request.left:
                self._waiting.remove(request)
            self._backlog.remove(request)
            self._changed.notify(len(self._threads) if self._closed else 1)

    # The thread that tokenizes.

    def _read(self) -> None:
        while requests := self._next_unread():
            read = read_tickets(requests, self._model, self._limits)
            for request, masked_texts in read:
                if isinstance(masked_texts, Exception):
                    fail(request, masked_texts)
            with self._changed:
                self._reading = 0
                for request, masked_texts in read:
                    if not (request.closed or request.work or isinstance(masked_texts, Exception)):
                        request.ask(masked_texts)
                        self._waiting.add(request)
                self._changed.notify()
            for request, _ in read:
                if request.work:
                    self._begin_steps(request)

    def _begin_steps(self, request: InferenceRequest) -> None:
        """Ask the masked texts of the first step, unless too much is in hand already."""
        with self._changed:
            taken = request.closed or self._backlog.takes(request)
        if taken:
            self._go_on(request)
        else:
            seconds = self._seconds_for(self._backlog.passes)
            fail(request, QueueFullError(self._backlog.refusal, seconds))

    def _next_unread(self) -> list[InferenceRequest]:
        """Wait for requests that are not tokenized; an empty list where no more will come."""
        with self._unread_came:
            requests: list[InferenceRequest] = []
            texts = 0
            while not requests:
                if not self._unread:
                    if self._closed:
                        self._changed.notify_all()
                        break
                    self._unread_came.wait()
                while self._unread and texts < _READ_AT_ONCE:
                    request = self._unread.popleft()
                    if not request.closed:
                        requests.append(request)
                        texts += len(request.texts)
            self._reading = len(requests)
            return requests

    # The threads that run batches.

    def _work(self) -> None:
        while batch := self._next_batch():
            entries, session = batch
            try:
                self._run(entries, session)
            except Exception as error:
                logger.exception("A batch of %d texts failed", len(entries))
                for entry in entries:
                    fail(entry.request, error)

    def _next_batch(self) -> tuple[list[QueueEntry], Any] | None:
        """Wait for masked texts that are to be run now; None where no more will come."""
        with self._changed:
            while True:
                if not len(self._waiting):
                    if self._closed and not self._requests:
                        return None
                    self._changed.wait()
                elif self._alone:
                    self._changed.wait()
                elif (patience := self._patience()) > 0:
                    self._changed.wait(patience)
                else:
                    break
            self._alone = self._splits and not self._busy and self._are_few()
            rules = self._model.engine.rules
            if self._splits and not self._alone:
                rules = rules.shared_by(self._workers - self._busy, self._waiting.tokens)
            entries = self._waiting.take(rules)
            self._busy += 1
            for entry in entries:
                self._begin(entry.request)
            if len(self._waiting) and not self._alone:
                self._changed.notify()
            return entries, self._sessions[0 if self._alone else 1]

    def _patience(self) -> float:
        """Tell how long the masked texts that wait shall go on waiting, in seconds."""
        oldest = self._waiting.oldest
        gathered = len(self._requests) - len(self._unread) - self._reading
        all_are_here = gathered >= max(self._expected, len(self._requests))
        full = self._waiting.tokens >= self._model.engine.rules.budget
        if oldest is None or all_are_here or full or self._closed:
            return 0.0
        return oldest + self._limits.max_delay - time.perf_counter()

    def _are_few(self) -> bool:
        """Whether the masked texts that wait make fewer batches than there are cores."""
        rules, tokens = self._model.engine.rules, self._waiting.tokens
        shared = rules.shared_by(self._workers, tokens).budget
        count = len(self._waiting) if rules.alone else -(-tokens // shared)
        return count < max(2, self._workers)

    def _begin(self, request: InferenceRequest) -> None:
        if request.begun is None:
            request.begun = time.perf_counter()
            if self._watch:
                self._watch.request_has_begun(request.begun - request.arrived)

    def _run(self, entries: Sequence[QueueEntry], session: Any) -> None:
        """Run one batch, let the next one begin, and write the answers."""
        begun = time.perf_counter()
        try:
            predictions = run_batch(self._model.engine, entries, session)
        finally:
            seconds = time.perf_counter() - begun
            with self._changed:
                self._busy -= 1
                self._alone = False
                self._expected = max(1, len(self._requests))
                each = seconds / len(entries) / (self._workers if self._busy else 1)
                self._seconds_a_text += _NEWEST * (each - self._seconds_a_text)
                self._backlog.were_run(entries)
                self._changed.notify()
        if self._watch:
            self._watch.batch_was_run(report_of(entries, seconds))
        ended = [
            entry.request
            for entry, part in zip(entries, predictions, strict=True)
            if self._deliver(entry, part)
        ]
        for request in ended:
            self._go_on(request)

    def _deliver(self, entry: QueueEntry, predictions: Predictions | MlmfastError) -> bool:
        """Give a request what was found, and answer it where that was all.

        Returns:
            Whether that was all of a step. The next one may take a while to make out, so that those
            who share the batch get their answers before.
        """
        request = entry.request
        if isinstance(predictions, MlmfastError):
            fail(request, predictions)
            return False
        with self._changed:
            request.predictions[entry.number] = predictions
            request.left -= 1
            unfinished = request.left > 0 or request.closed
        if not unfinished and not request.work:
            self._answer(request)
        return not unfinished and request.work is not None

    def _go_on(self, request: InferenceRequest) -> None:
        """Ask the masked texts of a request's next step, or answer it where there is none."""
        try:
            masked_texts = request.work.go_on(request.predictions) if request.work else []
        except Exception as error:
            logger.exception("A step could not be taken")
            fail(request, error)
            return
        if not masked_texts:
            self._answer(request)
            return
        with self._changed:
            if not request.closed:
                request.ask(masked_texts)
                self._backlog.add(request)
                self._changed.notify()

    def _answer(self, request: InferenceRequest) -> None:
        try:
            response = response_of(request, self._model)
        except Exception as error:
            logger.exception("An answer could not be written")
            fail(request, error)
        else:
            finish(request, response)
