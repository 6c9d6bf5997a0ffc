"""Work that grows with the size of a request or an answer, off the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")

# Reading or compressing so many bytes takes up to a millisecond; handing them to a thread and
# back takes 0.1 ms, which small requests would pay for nothing.
LARGE_BYTES = 32 << 10


class LargeWork:
    """Runs small work at once, and large work on a thread.

    There is one such thread: parts of the work hold the interpreter's lock, and several threads
    would take turns with each other before the event loop has its own.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mlmfast-large")

    async def run(self, size: int, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `work` returns.

        Args:
            size: bytes that it reads or writes, about.
            work: a function that needs no event loop.
            *args: its arguments.
            **kwargs: its arguments.
        """
        if size <= LARGE_BYTES:
            return work(*args, **kwargs)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: work(*args, **kwargs))
