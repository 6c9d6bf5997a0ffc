"""A lock between processes that no crash leaves closed."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class FileLock:
    """Held by one process at a time; the system opens it when the process ends, however it does."""

    def __init__(self, path: Path) -> None:
        """Take the lock, without waiting.

        Raises:
            BlockingIOError: Another process has it, or another thread of this one.
            OSError: The file cannot be made.
        """
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if sys.platform == "win32":
                msvcrt.locking(self._descriptor, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise BlockingIOError(*error.args) from error
        except BaseException:  # Ctrl-C: nobody would know of the lock, and it would stay closed
            os.close(self._descriptor)
            raise

    def is_current(self) -> bool:
        """Whether the file is still the one at its path: its last owner may have removed it."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Open the lock."""
        with suppress(OSError):
            os.close(self._descriptor)
