"""Reading files at URLs: byte ranges that are tried again, and a reader that works ahead."""

from __future__ import annotations

import io
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError
from mlmfast.fs.remote.faults import ShortReadError, named, retried
from mlmfast.fs.remote.urls import file_system, is_web

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlmfast.fs.remote.listing import RemoteFile

_FIRST_BYTES = 1 << 16
_PART_BYTES = 1 << 23
"""Bytes of one request: enough to make its latency small beside it, and little to read again."""
_AHEAD = 4
"""Requests at once; the memory of a reader is this many parts and one."""
_RANGES = 16
"""Ranges of web servers that are requested at once."""


def read_range(
    file: RemoteFile, start: int, stop: int, wanted: Callable[[], bool] = lambda: True
) -> bytes:
    """Return the bytes `start` to `stop` of a file, which must lie in it.

    A connection that breaks is opened again a few times, for these bytes alone, as long as they
    are `wanted`.

    Raises:
        NotFoundError: The file is gone.
        InputError: It cannot be accessed, or its server does not know byte ranges.
    """
    if start == stop:
        return b""

    def fetch() -> bytes:
        system, path = file_system(file.url)
        data = _fetch(system, path, start, stop, file)
        if len(data) != stop - start:
            raise ShortReadError(f"{len(data):,} of {stop - start:,} bytes came")
        return data

    return retried(fetch, file.url, wanted)


def read_ranges(ranges: Sequence[tuple[RemoteFile, int, int]]) -> list[bytes]:
    """Return byte ranges of files of one file system, all requested at once where it can.

    Args:
        ranges: Files, and the bytes `start` to `stop` of each, which must lie in it.

    Raises:
        NotFoundError: A file is gone.
        InputError: One cannot be accessed, or its server does not know byte ranges.
    """
    if not ranges:
        return []
    if is_web(ranges[0][0].url):
        with ThreadPoolExecutor(min(_RANGES, len(ranges))) as pool:
            return list(pool.map(lambda one: read_range(*one), ranges))
    url = ranges[0][0].url
    system, _ = file_system(url)
    with named(url):
        paths = [system._strip_protocol(file.url) for file, _, _ in ranges]  # noqa: SLF001
        starts = [start for _, start, _ in ranges]
        stops = [stop for _, _, stop in ranges]
        found = system.cat_ranges(paths, starts, stops, on_error="return")
    return [
        data if isinstance(data, bytes) and len(data) == stop - start else read_range(*one)
        for one, data, start, stop in zip(ranges, found, starts, stops, strict=True)
    ]


def _fetch(system: Any, path: str, start: int, stop: int, file: RemoteFile) -> bytes:
    if not is_web(file.url):
        return system.cat_file(path, start=start, end=stop)
    # `cat_file` would load the whole file from a server that does not know ranges.
    with system.open(path, "rb", block_size=1 << 16, cache_type="none", size=file.size) as opened:
        try:
            opened.seek(start)
            return opened.read(stop - start)
        except ValueError as error:
            raise InputError(
                f"The server of {file.name!r} does not know byte ranges, without which a broken "
                "connection cannot be resumed. Download the file first."
            ) from error


class RemoteReader(io.RawIOBase):
    """The bytes of a file at a URL, from any position on; sequential reads are made ahead.

    A read returns fewer bytes than the buffer takes where a part ends, as raw files of Python do:
    wrap the reader into an `io.BufferedReader`.
    """

    def __init__(self, file: RemoteFile) -> None:
        """Read `file`; nothing is requested before the first read."""
        self.file = file
        self._position = 0
        self._start = 0  # of the bytes in _part
        self._part = b""
        self._ahead: deque[tuple[int, Future[bytes]]] = deque()
        self._forgotten = threading.Event()  # set when nobody waits for _ahead any more
        self._sequential = 0  # parts read one after the other
        self._pool: ThreadPoolExecutor | None = None
        self._stopped = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.file.size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative position {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        if self._position >= self.file.size or not len(buffer):
            return 0
        if not self._start <= self._position < self._start + len(self._part):
            self._load(self._position, len(buffer))
        within = self._position - self._start
        data = memoryview(self._part)[within : within + len(buffer)]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def stop(self) -> None:
        """Make the next read raise InterruptedError; called from another thread."""
        self._stopped = True

    def close(self) -> None:
        self._forget_ahead()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        super().close()

    def _load(self, start: int, wanted: int) -> None:
        """Let `_part` begin at `start`."""
        if self._stopped:
            raise InterruptedError("reading was stopped")
        follows = start == self._start + len(self._part) and bool(self._part)
        if self._ahead and self._ahead[0][0] == start:
            part = self._ahead.popleft()[1].result()
        else:
            self._forget_ahead()
            size = _PART_BYTES if follows else min(max(wanted, _FIRST_BYTES), _PART_BYTES)
            part = read_range(self.file, start, min(start + size, self.file.size))
        self._sequential = self._sequential + 1 if follows else 0
        self._start, self._part = start, part
        self._read_ahead()

    def _read_ahead(self) -> None:
        """Request what follows: the more, the longer the reads have been sequential."""
        next_start = self._start + len(self._part)
        if self._ahead:
            next_start = self._ahead[-1][0] + _PART_BYTES
        forgotten = self._forgotten

        def wanted() -> bool:
            return not forgotten.is_set()

        while len(self._ahead) < min(self._sequential, _AHEAD) and next_start < self.file.size:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_AHEAD, thread_name_prefix="mlmfast-remote")
            stop = min(next_start + _PART_BYTES, self.file.size)
            part = self._pool.submit(read_range, self.file, next_start, stop, wanted)
            self._ahead.append((next_start, part))
            next_start = stop

    def _forget_ahead(self) -> None:
        for _, part in self._ahead:
            part.cancel()
        self._ahead.clear()
        self._forgotten.set()
        self._forgotten = threading.Event()


def open_reader(file: RemoteFile) -> io.BufferedReader:
    """Return a buffered reader of a file at a URL."""
    # A small buffer, so that a look at the first bytes does not load more.
    return io.BufferedReader(RemoteReader(file), _FIRST_BYTES)
