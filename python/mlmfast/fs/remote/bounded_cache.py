"""A cache folder of bounded size whose entries, folders, are removed when used longest ago."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from mlmfast.errors import InputError
from mlmfast.fs.lock import FileLock

SIZE_VARIABLE = "MLMFAST_CACHE_SIZE"
_DEFAULT_BYTES = 10 * 10**9
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?B?)", re.IGNORECASE)
_LOCK = ".lock"


def cache_bytes(given: int | str | None = None) -> int:
    """Return the size of the cache in bytes: `given`, or the variable's, or 10 GB.

    Args:
        given: Bytes, or a text such as "50GB".

    Raises:
        InputError: It is no size.
    """
    if given is None:
        given = os.environ.get(SIZE_VARIABLE) or _DEFAULT_BYTES
    found = _SIZE.fullmatch(str(given).strip())
    unit = "" if found is None else found[2].upper().removesuffix("B")
    if found is None or f"{unit}B" not in _UNITS:
        raise InputError(
            f"The size of the cache ({SIZE_VARIABLE}) is a number of bytes, or one such as 50GB; "
            f"got {given!r}."
        )
    return int(float(found[1]) * _UNITS[f"{unit}B"])


class BoundedCache:
    """The entries of a folder that together take `limit` bytes at most.

    An entry is a folder, and is in use while a lock that `use` returned is held: such an entry is
    never removed. All processes of a machine may share the cache.
    """

    def __init__(self, root: Path, limit: int) -> None:
        """Keep the entries in `root`, which is created."""
        self.root = root
        self.limit = limit
        root.mkdir(parents=True, exist_ok=True)

    def use(self, name: str) -> FileLock:
        """Create the entry `name` if it does not exist, and keep it until the lock is released."""
        lock = FileLock(self._lock_of(name))
        lock.acquire(wait=True, shared=True)
        (self.root / name).mkdir(exist_ok=True)
        os.utime(self.root / name)
        return lock

    def reserve(self, path: Path, size: int) -> bool:
        """Create a file of `size` bytes in an entry, if the cache has room or can make room.

        Other entries are removed for it, those used longest ago first, unless they are in use.
        """
        lock = FileLock(self.root / _LOCK)
        lock.acquire(wait=True)
        try:
            own = path.relative_to(self.root).parts[0]
            excess = self._used() + size - self.limit
            for name in self._oldest_first():
                if excess <= 0:
                    break
                if name != own:
                    excess -= self._remove(name)
            if excess > 0:
                return False
            with path.open("wb") as file:
                file.truncate(size)
            return True
        finally:
            lock.release()

    def _lock_of(self, name: str) -> Path:
        return self.root / f".{name}.lock"

    def _used(self) -> int:
        return sum(_bytes_in(self.root / name) for name in self._oldest_first())

    def _oldest_first(self) -> list[str]:
        entries = [
            (entry.stat().st_mtime_ns, entry.name)
            for entry in os.scandir(self.root)
            if entry.is_dir()
        ]
        return [name for _, name in sorted(entries)]

    def _remove(self, name: str) -> int:
        """Remove an entry unless it is in use; return the bytes that this frees."""
        lock = FileLock(self._lock_of(name))
        try:
            lock.acquire()
        except OSError:
            return 0
        try:
            freed = _bytes_in(self.root / name)
            shutil.rmtree(self.root / name, ignore_errors=True)
            return freed - _bytes_in(self.root / name)
        finally:
            lock.release()


def _bytes_in(folder: Path) -> int:
    """Return the sizes of files, of sparse ones (`.frame`) what they take."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                stat = (Path(parent) / name).stat()
                sparse = name.endswith(".frame") and hasattr(stat, "st_blocks")
                total += stat.st_blocks * 512 if sparse else stat.st_size
    return total
