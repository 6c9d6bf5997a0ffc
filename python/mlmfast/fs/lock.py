"""A lock between processes, which a crash releases."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from io import FileIO
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, *, wait: bool, shared: bool) -> None:
        if shared:
            return  # Windows has no such locks, and keeps files that are in use anyway
        while True:
            try:
                msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            except OSError as error:
                if not wait or error.errno != errno.EDEADLK:
                    raise
            else:  # at EDEADLK, Windows has given up after ten seconds
                return

else:
    import fcntl

    def _lock(descriptor: int, *, wait: bool, shared: bool) -> None:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(descriptor, kind | (0 if wait else fcntl.LOCK_NB))


class FileLock:
    """A lock that one process at a time holds; the system releases it when the process ends.

    Creating the object acquires nothing, so that whoever acquires it can already release it:
    Ctrl-C may come at any moment, also between acquiring a lock and giving it a name.
    """

    def __init__(self, path: Path) -> None:
        """Name the lock.

        Args:
            path: The lock file; it is created if it does not exist.
        """
        self._path = path
        self._file: FileIO | None = None

    def acquire(self, *, wait: bool = False, shared: bool = False) -> None:
        """Acquire the lock.

        Args:
            wait: Whether to wait until it is free.
            shared: Share it with others that share it, in this process and others.

        Raises:
            BlockingIOError: Another process, or another object of this one, holds it.
            OSError: The file cannot be created, or its file system has no locks.
        """
        self._file = FileIO(self._path, "a+")
        try:
            _lock(self._file.fileno(), wait=wait, shared=shared)
        except OSError as error:
            self.release()
            if wait:
                raise
            raise BlockingIOError(*error.args) from error

    def is_current(self) -> bool:
        """Return whether the lock file still exists: its last holder may have removed it."""
        if self._file is None or self._file.closed:
            return False
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Release the lock if it is held."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
