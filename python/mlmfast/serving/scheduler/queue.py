"""Masked texts that wait for a batch: the oldest leads it, others of like length join it."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from mlmfast.errors import InputError, MlmfastError

if TYPE_CHECKING:
    from mlmfast.serving.engine.batching import BatchRules
    from mlmfast.serving.scheduler.request import InferenceRequest
    from mlmfast.serving.types import MaskedText


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
    def masked_text(self) -> MaskedText:
        """The masked text itself."""
        return self.request.masked_texts[self.index]


class _Queued(NamedTuple):
    length: int
    order: int
    entry: QueueEntry
    arrived: float


class RequestQueue:
    """Masked texts that wait, sorted by length and by age.

    The oldest masked text leads every batch, so that none waits for ever; the others of the batch
    are its neighbours in length, so that little of the batch is padding.

    Attributes:
        tokens: tokens of all masked texts.
    """

    def __init__(self) -> None:
        self.tokens = 0
        self._by_length: list[_Queued] = []
        self._by_age: deque[_Queued] = deque()
        self._removed: set[int] = set()  # orders of entries that are still in `_by_age`
        self._orders = count()

    def __len__(self) -> int:
        return len(self._by_length)

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
        queued = _Queued(len(entry.masked_text.ids), next(self._orders), entry, arrived)
        insort(self._by_length, queued, key=_rank)
        self._by_age.append(queued)
        self.tokens += queued.length
        return queued.length

    def remove(self, request: InferenceRequest) -> None:
        """Remove the masked texts of a request."""
        for queued in [queued for queued in self._by_age if queued.entry.request is request]:
            if queued.order not in self._removed:
                start = bisect_left(self._by_length, _rank(queued), key=_rank)
                self._pop(start, start + 1)

    @property
    def oldest_arrival(self) -> float | None:
        """When the oldest masked text came; None where the queue is empty."""
        oldest = self._oldest()
        return oldest and oldest.arrived

    def pop_batch(self, rules: BatchRules) -> list[QueueEntry]:
        """Remove and return the next batch: the oldest masked text and neighbours in length.

        Args:
            rules: which masked texts may share a batch.

        Returns:
            At least one masked text; more of them within the token budget of the rules.
        """
        lead = self._oldest()
        if lead is None:
            raise IndexError("the queue is empty")
        queued = self._by_length
        start = bisect_left(queued, _rank(lead), key=_rank)
        end = start + 1
        while not rules.independent:
            max_length = rules.budget // (end - start + 1)
            longer = shorter = None
            if self._fits(end, max_length):
                longer = self._distance(end, lead, rules)
            if self._fits(end - 1, max_length):
                shorter = self._distance(start - 1, lead, rules)
            if longer is None and shorter is None:
                break
            if shorter is None or (longer is not None and longer < shorter):
                end += 1
            else:
                start -= 1
        return self._pop(start, end)

    def _fits(self, position: int, max_length: int) -> bool:
        """Whether there is an entry at a position of `_by_length`, and it is short enough."""
        return position < len(self._by_length) and self._by_length[position].length <= max_length

    def _distance(self, position: int, lead: _Queued, rules: BatchRules) -> int | None:
        """Return the difference in length to the lead; None for an entry that may not join it."""
        if position < 0:
            return None
        distance = abs(self._by_length[position].length - lead.length)
        return distance if rules.padding or not distance else None

    def _oldest(self) -> _Queued | None:
        while self._by_age and self._by_age[0].order in self._removed:
            self._removed.discard(self._by_age.popleft().order)
        return self._by_age[0] if self._by_age else None

    def _pop(self, start: int, end: int) -> list[QueueEntry]:
        popped = self._by_length[start:end]
        del self._by_length[start:end]
        self._removed.update(queued.order for queued in popped)
        self.tokens -= sum(queued.length for queued in popped)
        return [queued.entry for queued in popped]


def _rank(queued: _Queued) -> tuple[int, int]:
    return queued.length, queued.order


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
    """

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
