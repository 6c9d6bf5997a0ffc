"""Which texts came before, for as long as a run and its continuation last."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from mlmfast._core import TextHashSet
from mlmfast.errors import StoreError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SEEN_FILE = "seen.bin"
"""Its name in the folder of a run."""
_KEY_BYTES = 16
_CHUNK = 1 << 24


class ExactDedup:
    """The 128-bit hashes of all texts so far, in memory and in a file beside the output.

    Memory: 16 bytes a different text and the table's own room, 20 to 40 bytes in all.
    """

    def __init__(self, path: Path) -> None:
        """Keep the file at `path`."""
        self._path = path
        self._texts = TextHashSet()
        self._checksum = 0
        self._file = path.open("ab", buffering=0)

    @property
    def mark(self) -> list[int]:
        """How many texts there are and their checksum, for `restore`."""
        return [len(self._texts), self._checksum]

    def restore(self, mark: list[int]) -> None:
        """Forget what came after `mark`.

        Raises:
            StoreError: The file does not hold what it held then.
        """
        size = mark[0] * _KEY_BYTES
        with self._path.open("rb") as file:
            keys = file.read(size)
        if len(keys) != size or zlib.crc32(keys) != mark[1]:
            raise StoreError(f"{str(self._path)!r} is not what was written.")
        self._file.truncate(size)
        self._texts = TextHashSet()
        self._texts.load(keys)
        self._checksum = mark[1]

    def clear(self) -> None:
        """Forget everything."""
        self.restore([0, 0])

    def add(self, texts: pa.LargeStringArray) -> np.ndarray:
        """Tell for each text whether it is new; a null never is."""
        fresh, keys = self._texts.add(texts)
        self._file.write(keys)
        self._checksum = zlib.crc32(keys, self._checksum)
        return fresh

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def check_seen(path: Path, mark: list[int]) -> None:
    """Raise StoreError unless the file at `path` still holds what it held at `mark`."""
    left, checksum = mark[0] * _KEY_BYTES, 0
    try:
        with path.open("rb") as file:
            while left and (chunk := file.read(min(left, _CHUNK))):
                left -= len(chunk)
                checksum = zlib.crc32(chunk, checksum)
    except OSError as error:
        raise StoreError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    if left or checksum != mark[1]:
        raise StoreError(f"{str(path)!r} is not what was written.")
