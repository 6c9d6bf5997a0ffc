"""Compute the results of an iterator ahead in a thread: `Prefetcher`."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mlmfast.errors import MlmfastError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")

# The thread finishes at most one batch, which takes milliseconds; if the disk does not respond, the
# process must still be able to end.
_PATIENCE_SECONDS = 10.0

_Outcome = tuple[Any, BaseException | None]


class _Shared:
    """The state that both threads share, without a reference to the iterator, which may go away."""

    def __init__(self, numbers: Iterator[int], depth: int) -> None:
        self.numbers = numbers
        self.depth = depth
        self.changed = threading.Condition()
        self.ready: dict[int, _Outcome] = {}  # by position in the order
        self.next_result = 0  # the position of the next result to return
        self.next_number = 0  # the position of the next number to process
        self.stopped = False
        self.process = os.getpid()

    def take(self) -> tuple[int, int] | None:
        """Return the next position and its number, if one can start now. The caller holds the lock.

        The end of the numbers, or an error in them, becomes the outcome of the last position.
        """
        if self.stopped or self.next_number >= self.next_result + self.depth:
            return None
        place = self.next_number
        self.next_number += 1
        try:
            return place, next(self.numbers)
        except BaseException as raised:  # noqa: BLE001 (raised again in the user's thread)
            self.put(place, (None, raised))
            return None

    def put(self, place: int, outcome: _Outcome) -> None:
        """Add an outcome. Nothing starts after an error. The caller holds the lock."""
        self.ready[place] = outcome
        if outcome[1] is not None:
            self.depth = 0
        self.changed.notify_all()


class Prefetcher(Generic[T]):
    """An iterator over `make(number)` for each of `numbers`, computed ahead by a thread.

    At most `depth` results are ready or being computed, besides the one that the user holds. If the
    next result is not ready, the user's thread computes the one after it, if `depth` allows, so
    that a loop which does little else gets the work of two threads. An exception in `make` is
    raised in place of its result. The thread ends when the numbers end, when the iterator is closed
    or dropped, and when the interpreter ends.

    Args:
        make: Called for each number, in the thread and in the user's thread, sometimes in both at
            the same time.
        numbers: The arguments of `make`.
        depth: How many results to compute ahead, at least 1.
    """

    def __init__(self, make: Callable[[int], T], numbers: Iterable[int], depth: int) -> None:
        self._make = make
        self._shared = _Shared(iter(numbers), depth)
        # A daemon: the interpreter waits for other threads before it runs finalizers.
        thread = threading.Thread(
            target=_produce, args=(self._shared, make), name="mlmfast-prefetch", daemon=True
        )
        self._stop = weakref.finalize(self, _stop, self._shared, thread)
        thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        shared = self._shared
        if os.getpid() != shared.process:
            raise MlmfastError(
                "this pass over the loader was started in another process, whose thread makes its "
                "batches: start one here with iter(loader)"
            )
        while True:
            with shared.changed:
                if shared.next_result in shared.ready:
                    result, error = shared.ready.pop(shared.next_result)
                    shared.next_result += 1
                    shared.changed.notify_all()
                    break
                if shared.stopped:
                    raise StopIteration
                job = shared.take()
                if job is None and shared.next_result not in shared.ready:
                    shared.changed.wait()
            if job is not None:
                self._help(*job)
        if error is not None:
            self.close()
            raise error
        return result

    def close(self) -> None:
        """Stop the thread; there are no further results."""
        self._stop()

    def _help(self, place: int, number: int) -> None:
        outcome: _Outcome
        try:
            outcome = self._make(number), None
        except Exception as raised:  # noqa: BLE001 (raised in place of the result)
            outcome = None, raised
        except BaseException:  # the user's thread is interrupted now, not some results later
            self.close()
            raise
        shared = self._shared
        with shared.changed:
            if not shared.stopped:
                shared.put(place, outcome)


def _produce(shared: _Shared, make: Callable[[int], Any]) -> None:
    while True:
        with shared.changed:
            while (job := shared.take()) is None:
                if shared.stopped or shared.depth == 0:
                    return
                shared.changed.wait()
        place, number = job
        outcome: _Outcome
        try:
            outcome = make(number), None
        except BaseException as raised:  # noqa: BLE001 (raised again in the user's thread)
            outcome = None, raised
        with shared.changed:
            if not shared.stopped:
                shared.put(place, outcome)
        del outcome  # it is not kept in memory while the next one is computed


def _stop(shared: _Shared, thread: threading.Thread) -> None:
    if os.getpid() != shared.process:
        return  # a forked process has no such thread, and its lock may be held
    with shared.changed:
        shared.stopped = True
        shared.ready.clear()
        shared.changed.notify_all()
    if thread is not threading.current_thread() and thread.ident is not None:
        thread.join(_PATIENCE_SECONDS)
