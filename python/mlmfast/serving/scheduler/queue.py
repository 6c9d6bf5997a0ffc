"""Questions that wait for a batch: the oldest leads it, those of like length join it."""

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
    """One masked text of a request."""

    request: InferenceRequest
    number: int

    @property
    def masked_text(self) -> MaskedText:
        """The masked text itself."""
        return self.request.masked_texts[self.number]


class _Queued(NamedTuple):
    length: int
    order: int
    entry: QueueEntry
    since: float


class RequestQueue:
    """Masked texts in the order of their length, and their requests in the order of arrival.

    The oldest masked text leads every batch, so that none waits for ever; the others of the batch
    are its neighbours in length, so that little of the batch is padding.

    Attributes:
        tokens: tokens of all masked texts.
    """

    def __init__(self) -> None:
        self.tokens = 0
        self._by_length: list[_Queued] = []
        self._by_age: deque[_Queued] = deque()
        self._taken: set[int] = set()  # orders that still stand in `_by_age`
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._by_length)

    def add(self, request: InferenceRequest) -> None:
        """Let all masked texts of a request wait."""
        for number in range(len(request.masked_texts)):
            self.put(request, number, request.arrived)

    def put(self, request: InferenceRequest, number: int, since: float) -> int:
        """Let one masked text of a request wait, and tell how many tokens it has.

        Args:
            request: whose masked text it is.
            number: which of its masked texts.
            since: when it came, by `time.perf_counter`.
        """
        entry = QueueEntry(request, number)
        queued = _Queued(len(entry.masked_text.ids), next(self._numbers), entry, since)
        insort(self._by_length, queued, key=_rank)
        self._by_age.append(queued)
        self.tokens += queued.length
        return queued.length

    def remove(self, request: InferenceRequest) -> None:
        """Forget the masked texts of a request."""
        for queued in [queued for queued in self._by_age if queued.entry.request is request]:
            if queued.order not in self._taken:
                start = bisect_left(self._by_length, _rank(queued), key=_rank)
                self._cut(start, start + 1)

    @property
    def oldest(self) -> float | None:
        """When the oldest masked text came; None where none waits."""
        first = self._first()
        return first and first.since

    def take(self, rules: BatchRules) -> list[QueueEntry]:
        """Take the next batch: the oldest masked text and its neighbours in length.

        Args:
            rules: what may share a batch.

        Returns:
            At least one masked text; more of them within the budget of the rules.
        """
        lead = self._first()
        if lead is None:
            raise IndexError("no question waits")
        queued = self._by_length
        start = bisect_left(queued, _rank(lead), key=_rank)
        end = start + 1
        while not rules.alone:
            room = rules.budget // (end - start + 1)
            longer = self._distance(end, lead, rules) if self._fits(end, room) else None
            shorter = self._distance(start - 1, lead, rules) if self._fits(end - 1, room) else None
            if longer is None and shorter is None:
                break
            if shorter is None or (longer is not None and longer < shorter):
                end += 1
            else:
                start -= 1
        return self._cut(start, end)

    def _fits(self, entry: int, room: int) -> bool:
        """Whether a row as long as that at `place` fits into each row of a batch."""
        return entry < len(self._by_length) and self._by_length[entry].length <= room

    def _distance(self, entry: int, lead: _Queued, rules: BatchRules) -> int | None:
        """Tell how far a neighbour's length is from the lead's; None where it may not join."""
        if entry < 0:
            return None
        distance = abs(self._by_length[entry].length - lead.length)
        return distance if rules.padding or not distance else None

    def _first(self) -> _Queued | None:
        while self._by_age and self._by_age[0].order in self._taken:
            self._taken.discard(self._by_age.popleft().order)
        return self._by_age[0] if self._by_age else None

    def _cut(self, start: int, end: int) -> list[QueueEntry]:
        taken = self._by_length[start:end]
        del self._by_length[start:end]
        self._taken.update(queued.order for queued in taken)
        self.tokens -= sum(queued.length for queued in taken)
        return [queued.entry for queued in taken]


def _rank(queued: _Queued) -> tuple[int, int]:
    return queued.length, queued.order


# Texts are held as they came until they are tokenized: this bounds them, in characters.
MOST_CHARACTERS = 64 << 20
# Requests as large as they may be, answered in steps, whose passes may be in hand at once.
FULL_REQUESTS = 4


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Bounds of one model's queue.

    Attributes:
        max_texts: texts that are in hand at once, those being run included.
        max_delay: seconds that a request waits for others to share its batch.
        max_rows: rows that one request may be answered with: masks x top_k, over all its texts.
        max_passes: masked texts that one request may need which is answered in steps.
    """

    max_texts: int = 1024
    max_delay: float = 0.002
    max_rows: int = 10_000
    max_passes: int = 1024


class QueueFullError(MlmfastError):
    """Too many texts are in hand already.

    Attributes:
        retry_after: seconds after which there should be room.
    """

    def __init__(self, message: str, retry_after: int):
        super().__init__(message)
        self.retry_after = retry_after


class ClosedError(MlmfastError):
    """The model takes no more requests: it was replaced, or the server stops."""


class TooManyRowsError(InputError):
    """A request that would be answered with more rows than one request may have."""


class TooManyPassesError(InputError):
    """A request for which the model would be asked more often than for one it may be."""
