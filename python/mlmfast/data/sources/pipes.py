"""Reading from pipes and terminals without being stuck in a read that nobody answers."""

from __future__ import annotations

import io
import os
import select
import stat
import sys
from typing import Any

_PATIENCE_SECONDS = 0.1


class PipeReader(io.RawIOBase):
    """The bytes of a pipe or a terminal; `stop` ends a wait for them, from any thread."""

    def __init__(self, descriptor: int, *, close: bool) -> None:
        """Read `descriptor`, and close it at the end if `close` says so."""
        self._descriptor = descriptor
        self._close = close
        self._stopped = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._stopped:
            ready, _, _ = select.select([self._descriptor], [], [], _PATIENCE_SECONDS)
            if ready:
                return os.readv(self._descriptor, [buffer])
        raise InterruptedError("reading was stopped")

    def stop(self) -> None:
        """End a wait that is on, and every later one."""
        self._stopped = True

    def close(self) -> None:
        if self._close and not self.closed:
            os.close(self._descriptor)
        super().close()


def pipe_reader(file: Any, *, close: bool) -> PipeReader | None:
    """Return a reader for an open file that may keep one waiting; None for any other."""
    if sys.platform == "win32":
        return None  # select knows sockets alone there
    try:
        descriptor = file.fileno()
    except (OSError, AttributeError):
        return None  # a file in memory
    mode = os.fstat(descriptor).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)):
        return None
    return PipeReader(os.dup(descriptor) if close else descriptor, close=close)
