"""Masked texts that wait for a batch: the next in turn leads it, others of like length join it."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from mlmfast.errors import InputError, MlmfastError
from mlmfast.serving.scheduler.fairness import VirtualClock

if TYPE_CHECKING:
    from mlmfast.serving.engine.batching import BatchRules
    from mlmfast.serving.scheduler.request import InferenceRequest
    from mlmfast.serving.types import Text


# The neighbours in length of a batch are sought among the texts of so many batches: more of them
# save padding, fewer let those whose turn it is wait less.
_BATCHES_AHEAD = 16


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """One masked text of a request.

    Attributes:
        request: the request.
        index: the place of the masked text among those of the request.
    """

    request: InferenceRequest
    index: int

    @property
    def masked_text(self) -> Text:
        """The masked text itself."""
        return self.request.masked_texts[self.index]


class _Queued(NamedTuple):
    turn: float
    order: int
    length: int
    entry: QueueEntry
    arrived: float


class RequestQueue:
    """Masked texts that wait, in the order of their turns: see `VirtualClock`.

    The masked text whose turn is next leads every batch, so that none waits for ever. The others of
    the batch are its neighbours in length among those whose turn comes soon, so that little of the
    batch is padding.

    Attributes:
        tokens: tokens of all masked texts.
    """

    def __init__(self) -> None:
        self.tokens = 0
        self._queued: list[_Queued] = []
        self._clock = VirtualClock()
        self._orders = count()

    def __len__(self) -> int:
        return len(self._queued)

    def add(self, request: InferenceRequest) -> None:
        """Queue all masked texts of a request."""
        for index in range(len(request.masked_texts)):
            self.put(request, index, request.arrived)

    def put(self, request: InferenceRequest, index: int, arrived: float) -> int:
        """Queue one masked text of a request.

        Args:
            request: the request.
            index: which of its masked texts.
            arrived: when it came, by `time.perf_counter`.

        Returns:
            How many tokens it has.
        """
        entry = QueueEntry(request, index)
        length = len(entry.masked_text.ids)
        turn = self._clock.enter(request, length)
        insort(self._queued, _Queued(turn, next(self._orders), length, entry, arrived))
        self.tokens += length
        return length

    def remove(self, request: InferenceRequest) -> None:
        """Remove the masked texts of a request."""
        own = {queued.order for queued in self._queued if queued.entry.request is request}
        self._take(own, among=len(self._queued))

    @property
    def oldest_arrival(self) -> float | None:
        """When the oldest masked text came; None where the queue is empty."""
        return min((queued.arrived for queued in self._queued), default=None)

    def has_request_over(self, tokens: int) -> bool:
        """Whether a request waits whose masked texts have more tokens together."""
        return any(request.masked_tokens > tokens for request in self._clock.requests())

    def pop_batch(self, rules: BatchRules, large: float = math.inf) -> list[QueueEntry]:
        """Remove and return the next batch: the masked text whose turn it is, and neighbours.

        Args:
            rules: which masked texts may share a batch.
            large: requests of more tokens join no batch that a smaller request leads, and a smaller
                one whose turn comes within the next batch leads it.

        Returns:
            At least one masked text; more of them within the token budget of the rules.
        """
        if not self._queued:
            raise IndexError("the queue is empty")
        lead = self._lead(rules, large)
        ahead = self._ahead(rules)
        candidates = self._queued[:ahead]
        without_large = lead.entry.request.masked_tokens <= large < math.inf
        if without_large:
            candidates = [one for one in candidates if one.entry.request.masked_tokens <= large]
        graph = type(lead.entry.masked_text)  # texts of another graph run in batches of their own
        candidates = [one for one in candidates if type(one.entry.masked_text) is graph]
        candidates.sort(key=_rank)
        start = bisect_left(candidates, _rank(lead), key=_rank)
        end = start + 1
        while not rules.independent:
            max_length = rules.budget // (end - start + 1)
            longer = shorter = None
            if end < len(candidates) and candidates[end].length <= max_length:
                longer = _difference(candidates[end], lead, rules)
            if start > 0 and candidates[end - 1].length <= max_length:
                shorter = _difference(candidates[start - 1], lead, rules)
            if longer is None and shorter is None:
                break
            if shorter is None or (longer is not None and longer <= shorter):
                end += 1
            else:
                start -= 1
        batch = candidates[start:end]
        # Where large requests may not join, the others have used all the turns up to their last.
        turns = [queued.turn for queued in batch]
        self._clock.advance(max(turns) if without_large else lead.turn)
        self._take({queued.order for queued in batch}, among=ahead)
        return [queued.entry for queued in batch]

    def _lead(self, rules: BatchRules, large: float) -> _Queued:
        """Return the text that leads the next batch: the first, or a small request's behind it.

        A text whose turn was used by others is not passed again.
        """
        first = self._queued[0]
        tokens = 0
        for queued in self._queued:
            if queued.entry.request.masked_tokens <= large:
                return queued
            tokens += queued.length
            if tokens >= rules.budget or first.turn <= self._clock.now:
                break
        return first

    def _ahead(self, rules: BatchRules) -> int:
        """Return how many masked texts have their turn within the next batches."""
        tokens = 0
        for position, queued in enumerate(self._queued):
            tokens += queued.length
            if tokens > rules.budget * _BATCHES_AHEAD:
                return position + 1
        return len(self._queued)

    def _take(self, orders: set[int], *, among: int) -> None:
        """Remove masked texts by their order numbers; they are among the next so many."""
        kept = []
        for queued in self._queued[:among]:
            if queued.order in orders:
                self._clock.leave(queued.entry.request, queued.length)
                self.tokens -= queued.length
            else:
                kept.append(queued)
        self._queued[:among] = kept


def _rank(queued: _Queued) -> tuple[int, float, int]:
    return queued.length, queued.turn, queued.order


def _difference(queued: _Queued, lead: _Queued, rules: BatchRules) -> int | None:
    """Return the difference in length to the lead; None for a masked text that may not join it."""
    difference = abs(queued.length - lead.length)
    return difference if rules.padding or not difference else None


# Characters of all texts in hand: they are kept until their request is answered.
MAX_CHARACTERS = 64 << 20
# Multi-step requests of the largest size whose passes may be in hand at once.
FULL_REQUESTS = 4


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Bounds of one model's queue.

    Attributes:
        max_texts: texts in hand at once, those in batches included.
        max_delay: seconds that a request waits for others to share its batch.
        max_rows: rows in the answer of one request: masks x top_k, over all its texts.
        max_passes: passes of the model that one multi-step request may need.
        max_answer_bytes: bytes of the answer to one request.
    """

    max_texts: int = 1024
    max_delay: float = 0.002
    max_rows: int = 10_000
    max_passes: int = 1024
    max_answer_bytes: int = 16 << 20


class QueueFullError(MlmfastError):
    """Too many texts are in hand already.

    Attributes:
        retry_after: seconds after which there should be room.
        reason: one word for programs and metrics.
    """

    reason = "queue_full"

    def __init__(self, message: str, retry_after: int):
        super().__init__(message)
        self.retry_after = retry_after


class ClosedError(MlmfastError):
    """The scheduler accepts no more requests: its model was replaced, or the server stops."""


class TooManyRowsError(InputError):
    """A request whose answer would have more rows than one answer may."""


class AnswerTooLargeError(InputError):
    """A request whose answer would have more bytes than one answer may."""

    def __init__(self, max_bytes: int):
        super().__init__(
            f"The answer would have more than {max_bytes:,} bytes: ask for a smaller top_k, for "
            "fewer texts or for shorter ones."
        )


class TooManyPassesError(InputError):
    """A request that needs more passes of the model than one request may."""
