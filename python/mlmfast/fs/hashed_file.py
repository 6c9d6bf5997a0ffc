"""A file whose checksum is computed while it is written."""

from __future__ import annotations

import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class HashedFile(io.RawIOBase):
    """Writes a new file; a thread of its own hashes what is written.

    Computing SHA-256 takes longer than writing to a page cache, and reading the file again for it
    would come after all of that.
    """

    def __init__(self, path: Path) -> None:
        """Create the file at `path`, or empty it."""
        super().__init__()
        self._file = path.open("wb", buffering=0)
        self._digest = hashlib.sha256()
        self._hasher = ThreadPoolExecutor(1, "mlmfast-sha256")
        self._hashed: list[Any] = []

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Write all of `data`, a buffer that must not change before `sha256`; return its size."""
        view = memoryview(data).cast("B")
        self._hashed.append(self._hasher.submit(self._digest.update, view))
        left = view
        while len(left):
            left = left[self._file.write(left) :]
        return len(view)

    def sync(self) -> None:
        """Flush what was written to disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._hasher.shutdown()
            self._file.close()
        super().close()

    def sha256(self) -> str:
        """Return the checksum of all that was written, in hexadecimal digits."""
        for each in self._hashed:
            each.result()
        self._hashed.clear()
        return self._digest.hexdigest()
