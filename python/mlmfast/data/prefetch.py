"""Work done ahead in a thread of its own: `Prefetcher`."""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mlmfast.errors import MlmfastError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")

# The thread is in the middle of a batch at most, which takes milliseconds; where the disk does not
# answer, the process must be able to end all the same.
_PATIENCE_SECONDS = 10.0


class _Shared:
    """What the two threads have in common. It knows nothing of the iterator, which may go."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.changed = threading.Condition()
        self.ready: deque[tuple[Any, BaseException | None]] = deque()
        self.stopped = False
        self.process = os.getpid()


class Prefetcher(Generic[T]):
    """An iterator over `make(number)` for each of `numbers`, made ahead by a thread.

    At most `depth` results are ready or being made beside the one that the user holds. An exception
    of `make` comes out where its result would have. The thread ends when the numbers do, when the
    iterator is closed or dropped, and when the interpreter ends.

    Args:
        make: Called in the thread, for one number after the other.
        numbers: What to call it with.
        depth: Results to make ahead, at least 1.
    """

    def __init__(self, make: Callable[[int], T], numbers: Iterable[int], depth: int) -> None:
        self._shared = _Shared(depth)
        # A daemon, since the interpreter waits for other threads before it tells them to stop.
        thread = threading.Thread(
            target=_produce,
            args=(self._shared, make, iter(numbers)),
            name="mlmfast-prefetch",
            daemon=True,
        )
        self._stop = weakref.finalize(self, _stop, self._shared, thread)
        thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        shared = self._shared
        if os.getpid() != shared.process:
            raise MlmfastError(
                "this pass over the loader was begun in another process, whose thread makes its "
                "batches: begin one here, iter(loader)"
            )
        with shared.changed:
            while not shared.ready and not shared.stopped:
                shared.changed.wait()
            if not shared.ready:
                raise StopIteration
            result, error = shared.ready.popleft()
            shared.changed.notify_all()
        if error is not None:
            self.close()
            raise error
        return result

    def close(self) -> None:
        """Stop the thread; there are no further results."""
        self._stop()


def _produce(shared: _Shared, make: Callable[[int], Any], numbers: Iterator[int]) -> None:
    error = None
    while error is None:
        with shared.changed:
            while len(shared.ready) >= shared.depth and not shared.stopped:
                shared.changed.wait()
            if shared.stopped:
                return
        result = None  # so that nothing is held on to while the next one is made
        try:
            result = make(next(numbers))
        except BaseException as raised:  # noqa: BLE001 (it is the user's, in the user's thread)
            error = raised
        with shared.changed:
            shared.ready.append((result, error))
            shared.changed.notify_all()


def _stop(shared: _Shared, thread: threading.Thread) -> None:
    if os.getpid() != shared.process:
        return  # the thread did not come along into a forked process, and its lock may be held
    with shared.changed:
        shared.stopped = True
        shared.ready.clear()
        shared.changed.notify_all()
    if thread is not threading.current_thread() and thread.ident is not None:
        thread.join(_PATIENCE_SECONDS)
