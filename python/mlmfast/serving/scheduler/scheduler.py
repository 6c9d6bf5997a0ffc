"""Continuous batching: whenever the device is free, it gets a batch of what is queued."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from mlmfast.errors import MlmfastError
from mlmfast.serving.scheduler.admission import AdmissionControl
from mlmfast.serving.scheduler.batch_policy import BatchPolicy
from mlmfast.serving.scheduler.execute import fail, finish, report_of, response_of, run_batch
from mlmfast.serving.scheduler.multi_step import MultiStepQueue
from mlmfast.serving.scheduler.queue import (
    FULL_REQUESTS,
    AnswerTooLargeError,
    ClosedError,
    QueueFullError,
    RequestQueue,
)
from mlmfast.serving.scheduler.request import InferenceRequest
from mlmfast.serving.scheduler.share import ONE_SHARE, Share
from mlmfast.serving.scheduler.tokenize import tokenize_requests

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlmfast.serving.engine.engine import Engine
    from mlmfast.serving.engine.model import Model
    from mlmfast.serving.scheduler.queue import QueueEntry, QueueLimits
    from mlmfast.serving.scheduler.request import SchedulerObserver
    from mlmfast.serving.tasks.base import Task
    from mlmfast.serving.tasks.one_pass import OnePassTask
    from mlmfast.serving.types import Result

logger = logging.getLogger(__name__)

# Texts that are tokenized in one call: few, so that the device gets the first of them soon.
_TOKENIZED_AT_ONCE = 256


class Scheduler:
    """One model's queue, the thread that tokenizes for it, and those that run its batches.

    A request that comes while no other is in hand is run at once. Otherwise it waits, at most
    `max_delay`, until a batch is full or as many requests are queued as were in hand when the last
    batch ended: clients that got an answer soon send their next request.

    As in `Engine`, a session with all cores runs few masked texts, one batch at a time; many are
    run by as many threads as there are cores, each with a batch of its own: see `BatchPolicy`.

    A multi-step request queues the masked texts of its next step once those of the last one are
    answered. They share batches with those of other requests, and take turns: see `MultiStepQueue`.

    Args:
        model: the model.
        limits: how much may be in hand.
        observer: counts batches and waiting times.
    """

    def __init__(
        self, model: Model, limits: QueueLimits, observer: SchedulerObserver | None = None
    ):
        self._model = model
        self._limits = limits
        self._observer = observer
        lock = threading.Lock()
        self._untokenized_came = threading.Condition(lock)
        self._changed = threading.Condition(lock)
        self._untokenized: deque[InferenceRequest] = deque()
        self._queue = RequestQueue()
        self._multi_step = MultiStepQueue(
            self._queue,
            capacity=model.engine.rules.budget * model.engine.workers,
            max_passes=limits.max_passes * FULL_REQUESTS,
        )
        self._admission = AdmissionControl(limits)
        self._policy = BatchPolicy(model, self._queue, limits.max_delay)
        self._in_tokenizer = 0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._tokenize_loop, name="mlmfast-read", daemon=True),
            *(
                threading.Thread(target=self._run_loop, name=f"mlmfast-run-{number}", daemon=True)
                for number in range(model.engine.workers)
            ),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def texts(self) -> int:
        """Texts of all requests in hand."""
        return self._admission.texts

    def submit(
        self, texts: Sequence[str], task: OnePassTask | Task, share: Share = ONE_SHARE
    ) -> InferenceRequest:
        """Accept a request.

        Args:
            texts: its texts, at least one.
            task: the task with its options.
            share: whose it is, and how large a share of the batches it gets.

        Raises:
            QueueFullError: too much is in hand. Where multi-step requests need too many passes, the
                request's future gets this error.
            ClosedError: the scheduler was closed.
        """
        request = InferenceRequest(texts, task, share)
        with self._changed:
            if self._closed:
                raise ClosedError("This model takes no more requests.")
            self._admission.admit(request)
            self._untokenized.append(request)
            self._untokenized_came.notify()
        request.future.add_done_callback(lambda _: self._release(request))
        return request

    def close(self) -> None:
        """Accept no more requests, and wait until those in hand are answered."""
        self._stop_accepting()
        for thread in self._threads:
            thread.join()

    def abandon(self) -> None:
        """Accept no more requests, and fail those in hand."""
        for request in self._stop_accepting():
            fail(request, ClosedError("The server stopped before this request was answered."))

    def _stop_accepting(self) -> list[InferenceRequest]:
        """Accept no more requests; return those in hand."""
        with self._changed:
            self._closed = True
            self._untokenized_came.notify_all()
            self._changed.notify_all()
            return list(self._admission.requests)

    def _release(self, request: InferenceRequest) -> None:
        """Forget a request that is answered, refused or cancelled."""
        with self._changed:
            if request.closed:
                return
            request.closed = True
            self._admission.release(request)
            if request.pending:
                self._queue.remove(request)
            self._multi_step.remove(request)
            self._changed.notify(len(self._threads) if self._closed else 1)

    # The thread that tokenizes.

    def _tokenize_loop(self) -> None:
        while requests := self._next_untokenized():
            tokenized = tokenize_requests(requests, self._model, self._limits)
            for request, masked_texts in tokenized:
                if isinstance(masked_texts, Exception):
                    fail(request, masked_texts)
            with self._changed:
                self._in_tokenizer = 0
                for request, masked_texts in tokenized:
                    if request.closed or request.multi_step or isinstance(masked_texts, Exception):
                        continue
                    request.set_masked_texts(masked_texts)
                    self._queue.add(request)
                self._changed.notify()
            for request, _ in tokenized:
                if request.multi_step:
                    self._start_steps(request)

    def _start_steps(self, request: InferenceRequest) -> None:
        """Queue the first step of a request, unless others need too many passes already."""
        with self._changed:
            admitted = request.closed or self._multi_step.try_admit(request)
        if admitted:
            self._advance(request)
        else:
            seconds = self._admission.retry_after(self._multi_step.passes)
            fail(request, QueueFullError(self._multi_step.refusal, seconds))

    def _next_untokenized(self) -> list[InferenceRequest]:
        """Wait for requests that are not tokenized; an empty list once no more will come."""
        with self._untokenized_came:
            requests: list[InferenceRequest] = []
            texts = 0
            while not requests:
                self._untokenized_came.wait_for(lambda: self._untokenized or self._closed)
                if not self._untokenized:
                    self._changed.notify_all()
                    break
                while self._untokenized and texts < _TOKENIZED_AT_ONCE:
                    request = self._untokenized.popleft()
                    if not request.closed:
                        requests.append(request)
                        texts += len(request.texts)
            self._in_tokenizer = len(requests)
            return requests

    # The threads that run batches.

    def _run_loop(self) -> None:
        while batch := self._next_batch():
            entries, engine, session = batch
            try:
                self._run(entries, engine, session)
            except Exception as error:
                logger.exception("A batch of %d texts failed", len(entries))
                for entry in entries:
                    fail(entry.request, error)

    def _next_batch(self) -> tuple[list[QueueEntry], Engine, Any] | None:
        """Wait for a batch that is to be run now; None once no more will come."""
        with self._changed:
            while True:
                if not len(self._queue):
                    if self._closed and not self._admission.requests:
                        return None
                    self._changed.wait()
                elif self._policy.exclusive:
                    self._changed.wait()
                elif (delay := self._delay()) > 0:
                    self._changed.wait(delay)
                else:
                    break
            entries, engine, session = self._policy.start_batch()
            self._mark_started(entry.request for entry in entries)
            if len(self._queue) and not self._policy.exclusive:
                self._changed.notify()
            return entries, engine, session

    def _delay(self) -> float:
        if self._closed:
            return 0.0
        in_hand = len(self._admission.requests)
        tokenized = in_hand - len(self._untokenized) - self._in_tokenizer
        return self._policy.delay(in_hand, tokenized)

    def _mark_started(self, requests: Iterable[InferenceRequest]) -> None:
        for request in requests:
            if request.started is None:
                request.started = time.perf_counter()
                if self._observer:
                    self._observer.on_request_started(request.started - request.arrived)

    def _run(self, entries: Sequence[QueueEntry], engine: Engine, session: Any) -> None:
        """Run one batch, let the next one start, and deliver the predictions."""
        started = time.perf_counter()
        try:
            predictions = run_batch(engine, entries, session)
        finally:
            seconds = time.perf_counter() - started
            with self._changed:
                self._policy.end_batch(in_hand=len(self._admission.requests))
                self._admission.observe(seconds / len(entries) / self._policy.parallel)
                self._multi_step.batch_done(entries)
                self._changed.notify()
        if self._observer:
            self._observer.on_batch(report_of(entries, seconds))
        finished_steps = [
            entry.request
            for entry, part in zip(entries, predictions, strict=True)
            if self._deliver(entry, part)
        ]
        for request in finished_steps:
            self._advance(request)

    def _deliver(self, entry: QueueEntry, predictions: Result | MlmfastError) -> bool:
        """Store the predictions for a masked text, and answer its request if they were the last.

        Returns:
            Whether they were the last of a step. The next step may take a while to compute, so the
            other requests of the batch get their responses first.
        """
        request = entry.request
        if isinstance(predictions, MlmfastError):
            fail(request, predictions)
            return False
        with self._changed:
            request.predictions[entry.index] = predictions
            request.pending -= 1
            unfinished = request.pending > 0 or request.closed
        if not unfinished and not request.multi_step:
            self._respond(request)
        return not unfinished and request.multi_step is not None

    def _advance(self, request: InferenceRequest) -> None:
        """Queue the next step of a request, or answer it after the last one."""
        state = request.multi_step
        try:
            masked_texts = state.next_step(request.predictions) if state else []
        except Exception as error:
            logger.exception("A step could not be taken")
            fail(request, error)
            return
        if not masked_texts:
            self._respond(request)
            return
        with self._changed:
            if not request.closed:
                request.set_masked_texts(masked_texts)
                self._multi_step.add_step(request)
                self._changed.notify()

    def _respond(self, request: InferenceRequest) -> None:
        try:
            response = response_of(request, self._model, self._limits.max_answer_bytes)
        except AnswerTooLargeError as error:
            fail(request, error)
        except Exception as error:
            logger.exception("An answer could not be written")
            fail(request, error)
        else:
            finish(request, response)
