"""Interruptible reading from pipes and terminals."""

from __future__ import annotations

import io
import os
import select
import stat
import sys
from typing import Any

_POLL_SECONDS = 0.1


class PipeReader(io.RawIOBase):
    """A reader of a pipe or a terminal whose waits `stop` interrupts, from any thread."""

    def __init__(self, descriptor: int, *, close: bool) -> None:
        """Read `descriptor`; close it at the end if `close` is True."""
        self._descriptor = descriptor
        self._close = close
        self._stopped = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._stopped:
            ready, _, _ = select.select([self._descriptor], [], [], _POLL_SECONDS)
            if ready:
                return os.readv(self._descriptor, [buffer])
        raise InterruptedError("reading was stopped")

    def stop(self) -> None:
        """Interrupt the current wait and all later ones."""
        self._stopped = True

    def close(self) -> None:
        if self._close and not self.closed:
            os.close(self._descriptor)
        super().close()


def pipe_reader(file: Any, *, close: bool) -> PipeReader | None:
    """Return a reader for an open file if reads may block; None for other files."""
    if sys.platform == "win32":
        return None  # on Windows, select supports sockets only
    try:
        descriptor = file.fileno()
    except (OSError, AttributeError):
        return None  # a file in memory
    mode = os.fstat(descriptor).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)):
        return None
    return PipeReader(os.dup(descriptor) if close else descriptor, close=close)
