"""A lock between processes, which a crash releases."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, *, wait: bool) -> None:
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

    def _lock(descriptor: int, *, wait: bool) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


class FileLock:
    """A lock that one process at a time holds; the system releases it when the process ends."""

    def __init__(self, path: Path, *, wait: bool = False) -> None:
        """Acquire the lock.

        Args:
            path: The lock file; it is created if it does not exist.
            wait: Whether to wait until it is free.

        Raises:
            BlockingIOError: Another process, or another thread of this one, holds it.
            OSError: The file cannot be created, or its file system has no locks.
        """
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(self._descriptor, wait=wait)
        except OSError as error:
            os.close(self._descriptor)
            if wait:
                raise
            raise BlockingIOError(*error.args) from error
        except BaseException:  # Ctrl-C: otherwise the lock would stay held
            os.close(self._descriptor)
            raise

    def is_current(self) -> bool:
        """Return whether the lock file still exists: its last holder may have removed it."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Release the lock."""
        with suppress(OSError):
            os.close(self._descriptor)
