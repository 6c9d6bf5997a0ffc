"""Continuous batching: whenever the device is free, what waits then becomes its next batch."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from mlmfast.errors import MlmfastError
from mlmfast.serving.scheduler.execute import answered_of, fail, finish, report_of, run_batch
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
READ_AT_ONCE = 256
# How much the newest batch counts in the average time of a text.
NEWEST = 0.2


class Scheduler:
    """One model's queue, the thread that tokenizes for it, and those that run its batches.

    A request that comes while nothing else is in hand is run at once. Others wait, `max_delay` at
    most, until as many requests are in hand as there were when the last batch was done (clients
    that got an answer soon ask again), or until a batch is full.

    As in `Engine`, few questions are run by a session with all cores, which has the device for
    itself, and many by as many threads as there are cores, each with a batch of its own.

    A request that is answered in steps asks the questions of its next step once those of the last
    one are answered. They share batches with everybody's, and take turns (see `Backlog`).

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
        self._tickets: set[InferenceRequest] = set()
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

    def submit(self, texts: Sequence[str], asked: FillMaskTask | Task) -> InferenceRequest:
        """Take a request.

        Raises:
            QueueFullError: too much is in hand. Where it is the passes of requests that are
                answered in steps, the ticket's future says so.
            ClosedError: the scheduler was closed.
        """
        ticket = InferenceRequest(texts, asked)
        with self._changed:
            if self._closed:
                raise ClosedError("This model takes no more requests.")
            many = self._texts + len(texts) > self._limits.max_texts
            if self._tickets and (many or self._characters + ticket.characters > MOST_CHARACTERS):
                raise QueueFullError(
                    f"The server has {self._texts} texts in hand, and takes at most "
                    f"{self._limits.max_texts}: try again later.",
                    self._seconds_for(self._texts),
                )
            self._tickets.add(ticket)
            self._texts += len(texts)
            self._characters += ticket.characters
            self._unread.append(ticket)
            self._unread_came.notify()
        ticket.future.add_done_callback(lambda _: self._forget(ticket))
        return ticket

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
            tickets = list(self._tickets)
            self._unread_came.notify_all()
            self._changed.notify_all()
        for ticket in tickets:
            fail(ticket, ClosedError("The server stopped before this request was answered."))

    def _seconds_for(self, questions: int) -> int:
        return min(60, max(1, math.ceil(questions * self._seconds_a_text)))

    def _forget(self, ticket: InferenceRequest) -> None:
        """Take a request that is answered, refused or cancelled out of the books."""
        with self._changed:
            if ticket.closed:
                return
            ticket.closed = True
            self._tickets.discard(ticket)
            self._texts -= len(ticket.texts)
            self._characters -= ticket.characters
            if ticket.left:
                self._waiting.remove(ticket)
            self._backlog.remove(ticket)
            self._changed.notify(len(self._threads) if self._closed else 1)

    # The thread that tokenizes.

    def _read(self) -> None:
        while tickets := self._next_unread():
            read = read_tickets(tickets, self._model, self._limits)
            for ticket, questions in read:
                if isinstance(questions, Exception):
                    fail(ticket, questions)
            with self._changed:
                self._reading = 0
                for ticket, questions in read:
                    if not (ticket.closed or ticket.work or isinstance(questions, Exception)):
                        ticket.ask(questions)
                        self._waiting.add(ticket)
                self._changed.notify()
            for ticket, _ in read:
                if ticket.work:
                    self._begin_steps(ticket)

    def _begin_steps(self, ticket: InferenceRequest) -> None:
        """Ask the questions of the first step, unless too much is in hand already."""
        with self._changed:
            taken = ticket.closed or self._backlog.takes(ticket)
        if taken:
            self._go_on(ticket)
        else:
            seconds = self._seconds_for(self._backlog.passes)
            fail(ticket, QueueFullError(self._backlog.refusal, seconds))

    def _next_unread(self) -> list[InferenceRequest]:
        """Wait for requests that are not tokenized; an empty list where no more will come."""
        with self._unread_came:
            tickets: list[InferenceRequest] = []
            texts = 0
            while not tickets:
                if not self._unread:
                    if self._closed:
                        self._changed.notify_all()
                        break
                    self._unread_came.wait()
                while self._unread and texts < READ_AT_ONCE:
                    ticket = self._unread.popleft()
                    if not ticket.closed:
                        tickets.append(ticket)
                        texts += len(ticket.texts)
            self._reading = len(tickets)
            return tickets

    # The threads that run batches.

    def _work(self) -> None:
        while batch := self._next_batch():
            places, session = batch
            try:
                self._run(places, session)
            except Exception as error:
                logger.exception("A batch of %d texts failed", len(places))
                for place in places:
                    fail(place.ticket, error)

    def _next_batch(self) -> tuple[list[QueueEntry], Any] | None:
        """Wait for questions that are to be run now; None where no more will come."""
        with self._changed:
            while True:
                if not len(self._waiting):
                    if self._closed and not self._tickets:
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
            places = self._waiting.take(rules)
            self._busy += 1
            for place in places:
                self._begin(place.ticket)
            if len(self._waiting) and not self._alone:
                self._changed.notify()
            return places, self._sessions[0 if self._alone else 1]

    def _patience(self) -> float:
        """Tell how long the questions that wait shall go on waiting, in seconds."""
        oldest = self._waiting.oldest
        gathered = len(self._tickets) - len(self._unread) - self._reading
        all_are_here = gathered >= max(self._expected, len(self._tickets))
        full = self._waiting.tokens >= self._model.engine.rules.budget
        if oldest is None or all_are_here or full or self._closed:
            return 0.0
        return oldest + self._limits.max_delay - time.perf_counter()

    def _are_few(self) -> bool:
        """Whether the questions that wait make fewer batches than there are cores."""
        rules, tokens = self._model.engine.rules, self._waiting.tokens
        shared = rules.shared_by(self._workers, tokens).budget
        count = len(self._waiting) if rules.alone else -(-tokens // shared)
        return count < max(2, self._workers)

    def _begin(self, ticket: InferenceRequest) -> None:
        if ticket.begun is None:
            ticket.begun = time.perf_counter()
            if self._watch:
                self._watch.request_has_begun(ticket.begun - ticket.arrived)

    def _run(self, places: Sequence[QueueEntry], session: Any) -> None:
        """Run one batch, let the next one begin, and write the answers."""
        begun = time.perf_counter()
        try:
            found = run_batch(self._model.engine, places, session)
        finally:
            seconds = time.perf_counter() - begun
            with self._changed:
                self._busy -= 1
                self._alone = False
                self._expected = max(1, len(self._tickets))
                each = seconds / len(places) / (self._workers if self._busy else 1)
                self._seconds_a_text += NEWEST * (each - self._seconds_a_text)
                self._backlog.were_run(places)
                self._changed.notify()
        if self._watch:
            self._watch.batch_was_run(report_of(places, seconds))
        ended = [
            place.ticket
            for place, part in zip(places, found, strict=True)
            if self._deliver(place, part)
        ]
        for ticket in ended:
            self._go_on(ticket)

    def _deliver(self, place: QueueEntry, found: Predictions | MlmfastError) -> bool:
        """Give a ticket what was found, and answer it where that was all.

        Returns:
            Whether that was all of a step. The next one may take a while to make out, so that those
            who share the batch get their answers before.
        """
        ticket = place.ticket
        if isinstance(found, MlmfastError):
            fail(ticket, found)
            return False
        with self._changed:
            ticket.found[place.number] = found
            ticket.left -= 1
            unfinished = ticket.left > 0 or ticket.closed
        if not unfinished and not ticket.work:
            self._answer(ticket)
        return not unfinished and ticket.work is not None

    def _go_on(self, ticket: InferenceRequest) -> None:
        """Ask the questions of a ticket's next step, or answer it where there is none."""
        try:
            questions = ticket.work.go_on(ticket.found) if ticket.work else []
        except Exception as error:
            logger.exception("A step could not be taken")
            fail(ticket, error)
            return
        if not questions:
            self._answer(ticket)
            return
        with self._changed:
            if not ticket.closed:
                ticket.ask(questions)
                self._backlog.add(ticket)
                self._changed.notify()

    def _answer(self, ticket: InferenceRequest) -> None:
        try:
            answered = answered_of(ticket, self._model)
        except Exception as error:
            logger.exception("An answer could not be written")
            fail(ticket, error)
        else:
            finish(ticket, answered)
