"""Stages of one pass, each in a thread of its own, with bounded queues between them."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
R = TypeVar("R")


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """Raised in a stage that waits for its neighbour when the pipeline stops."""


class _Queue:
    """A bounded queue that can be stopped, which releases both sides."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._items: deque[tuple[Any, BaseException | None]] = deque()
        self._changed = threading.Condition()
        self._stopped = False

    def put(self, item: Any, error: BaseException | None = None) -> None:
        with self._changed:
            while len(self._items) >= self._depth and not self._stopped:
                self._changed.wait()
            if self._stopped:
                raise Stopped
            self._items.append((item, error))
            self._changed.notify_all()

    def get(self) -> tuple[Any, BaseException | None]:
        with self._changed:
            while not self._items and not self._stopped:
                self._changed.wait()
            if self._stopped:
                raise Stopped
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()


class ThreadedPipeline:
    """Runs iterators in threads, ahead of their consumers.

    An exception in a stage is raised by the iterator of that stage, in place of the result. When
    the `with` block ends, for whatever reason, every stage is stopped and every thread has ended.

        with ThreadedPipeline() as pipeline:
            pieces = pipeline.prefetch(read(), depth=4)
            parsed = pipeline.map(parse, pieces, threads=2, depth=4)
            for result in parsed: ...
    """

    def __init__(self) -> None:
        self._queues: list[_Queue] = []
        self._threads: list[threading.Thread] = []
        self._pools: list[ThreadPoolExecutor] = []

    def prefetch(self, items: Iterable[T], *, depth: int) -> Iterator[T]:
        """Yield `items`, which a thread of their own reads at most `depth` ahead."""
        queue = _Queue(depth)
        self._queues.append(queue)
        thread = threading.Thread(target=_draw, args=(items, queue), name="mlmfast-stage")
        self._threads.append(thread)
        thread.start()
        return _results(queue)

    def map(
        self, function: Callable[[T], R], items: Iterable[T], *, threads: int, depth: int
    ) -> Iterator[R]:
        """Yield `function(item)` in the items' order, computed by `threads` threads."""
        pool = ThreadPoolExecutor(threads, thread_name_prefix="mlmfast-stage")
        self._pools.append(pool)
        futures: Iterator[Future[R]] = (pool.submit(function, item) for item in items)
        return (future.result() for future in self.prefetch(futures, depth=depth))

    def stop(self) -> None:
        """Stop all stages and wait for their threads; each finishes its present item."""
        for queue in self._queues:
            queue.stop()
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)
        for thread in self._threads:
            thread.join()
        for pool in self._pools:
            pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _draw(items: Iterable[Any], queue: _Queue) -> None:
    try:
        try:
            for item in items:
                queue.put(item)
            error: BaseException = StopIteration()
        except Stopped:
            return
        except BaseException as raised:  # noqa: BLE001 - raised again in the consumer
            error = raised
        finally:
            # Closes files here, in the thread that reads them.
            close = getattr(items, "close", None)
            if close is not None:
                close()
        queue.put(None, error)
    except Stopped:
        pass


def _results(queue: _Queue) -> Iterator[Any]:
    while True:
        item, error = queue.get()
        if isinstance(error, StopIteration):
            return
        if error is not None:
            raise error
        yield item
        del item  # so that it is not kept in memory while the next one is computed
