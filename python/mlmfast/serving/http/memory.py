"""A bound on the bytes that clients make the server hold: bodies and answers, all together."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

# A client that has sent or read nothing for so long gives way where the bound is reached.
_STALLED_SECONDS = 1.0


class BudgetFullError(Exception):
    """No room is left, and no stalled client holds enough of it."""


class ByteBudget:
    """Counts the bytes that are held for clients, and bounds them.

    Without more, a few clients that stop in the middle could use up the bound and lock all others
    out. Those that have made no progress for a second are therefore dropped once their room is
    needed, the longest-stalled first.

    It belongs to the event loop: no other thread may use it.

    Args:
        max_bytes: the bound.
        on_change: is called with the bytes held, whenever they change.

    Attributes:
        used: bytes held now.
    """

    def __init__(self, max_bytes: int, on_change: Callable[[int], None]):
        self.used = 0
        self._max_bytes = max_bytes
        self._on_change = on_change
        # Those that wait for their clients; the one without progress for longest comes first.
        self._waiting: OrderedDict[Holding, float] = OrderedDict()

    def hold(self, drop: Callable[[], None] | None) -> Holding:
        """Begin to hold bytes for a client.

        Args:
            drop: ends what the client has begun; None if that is not possible. It may be called
                until the holding settles or closes.
        """
        holding = Holding(self, drop)
        if drop is not None:
            self._waiting[holding] = time.monotonic()
        return holding

    def take(self, size: int) -> None:
        """Count so many bytes more, or fewer.

        Raises:
            BudgetFullError: there is no room for them.
        """
        if size > 0 and self.used + size > self._max_bytes:
            self._make_room(size)
        self.used += size
        self._on_change(self.used)

    def note_progress(self, holding: Holding) -> None:
        """Note that the client of a holding has sent or read something."""
        if holding in self._waiting:
            self._waiting[holding] = time.monotonic()
            self._waiting.move_to_end(holding)

    def settle(self, holding: Holding) -> None:
        """Note that nothing more depends on the client of a holding."""
        self._waiting.pop(holding, None)

    def _make_room(self, size: int) -> None:
        stalled_since = time.monotonic() - _STALLED_SECONDS
        stalled = []
        reclaimed = 0
        for holding, progressed in self._waiting.items():
            if progressed > stalled_since or self.used - reclaimed + size <= self._max_bytes:
                break
            if not holding.size:
                continue
            stalled.append(holding)
            reclaimed += holding.size
        if self.used - reclaimed + size > self._max_bytes:
            raise BudgetFullError
        for holding in stalled:
            holding.drop()


class Holding:
    """The bytes of one body or one answer. Use it as a context manager.

    Attributes:
        size: its bytes.
        dropped: whether it had to give way.
    """

    def __init__(self, budget: ByteBudget, drop: Callable[[], None] | None):
        self.size = 0
        self.dropped = False
        self._budget = budget
        self._drop = drop

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hold nothing any more."""
        self.settle()
        self.resize(0)

    def resize(self, size: int) -> None:
        """Hold so many bytes from now on; more than before count as progress.

        Raises:
            BudgetFullError: there is no room for them.
        """
        if self.dropped:
            return
        self.progress()
        self._budget.take(size - self.size)
        self.size = size

    def progress(self) -> None:
        """Note that the client has sent or read something."""
        self._budget.note_progress(self)

    def settle(self) -> None:
        """Note that nothing more depends on the client: the holding is not dropped any more."""
        self._budget.settle(self)

    def drop(self) -> None:
        """Give the bytes back, and end what the client has begun."""
        self.close()
        self.dropped = True
        if self._drop is not None:
            self._drop()
