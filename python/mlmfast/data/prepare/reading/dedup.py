"""Leaving out duplicates; exact ones by the hashes of all texts so far, which are on disk too."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mlmfast._core import TextHashSet
from mlmfast.errors import StoreError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SEEN_FILE = "seen.bin"
"""Name of the file of hashes in the folder of a run."""
_KEY_BYTES = 16
_CHUNK = 1 << 24


class Deduplication(Protocol):
    """Tells the documents to leave out, in the order of reading."""

    @property
    def state(self) -> list[int] | None:
        """What `restore` needs, if anything."""

    def restore(self, state: list[int]) -> None:
        """Forget the documents that came after `state`.

        Raises:
            StoreError: What was known then is lost.
        """

    def clear(self) -> None:
        """Forget all documents."""

    def fresh(self, texts: pa.LargeStringArray, numbers: np.ndarray) -> np.ndarray:
        """Return for each text, of the document with this number, whether it is kept."""

    def close(self) -> None:
        """Close the files."""


class ExactDedup:
    """Tells texts that came before, by 128-bit hashes in memory and in a file beside the output.

    Each distinct text takes 20 to 40 bytes of memory: a hash of 16 bytes, in a hash table.
    """

    def __init__(self, path: Path) -> None:
        """Keep the file at `path`."""
        self._path = path
        self._texts = TextHashSet()
        self._checksum = 0
        self._file = path.open("ab", buffering=0)

    @property
    def state(self) -> list[int]:
        """The number of distinct texts and the checksum of their hashes, for `restore`."""
        return [len(self._texts), self._checksum]

    def restore(self, state: list[int]) -> None:
        """Forget the texts that came after `state`.

        Raises:
            StoreError: The file does not hold the hashes of `state`.
        """
        size = state[0] * _KEY_BYTES
        with self._path.open("rb") as file:
            keys = file.read(size)
        if len(keys) != size or zlib.crc32(keys) != state[1]:
            raise StoreError(f"{str(self._path)!r} is not what was written.")
        self._file.truncate(size)
        self._texts = TextHashSet()
        self._texts.load(keys)
        self._checksum = state[1]

    def clear(self) -> None:
        """Forget all texts."""
        self.restore([0, 0])

    def fresh(self, texts: pa.LargeStringArray, numbers: np.ndarray) -> np.ndarray:
        """Return for each text whether it is new; a null never is."""
        fresh, keys = self._texts.add(texts)
        self._file.write(keys)
        self._checksum = zlib.crc32(keys, self._checksum)
        return fresh

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def check_seen(path: Path, state: list[int]) -> None:
    """Raise StoreError unless the file at `path` still holds the hashes of `state`."""
    remaining, checksum = state[0] * _KEY_BYTES, 0
    try:
        with path.open("rb") as file:
            while remaining and (chunk := file.read(min(remaining, _CHUNK))):
                remaining -= len(chunk)
                checksum = zlib.crc32(chunk, checksum)
    except OSError as error:
        raise StoreError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    if remaining or checksum != state[1]:
        raise StoreError(f"{str(path)!r} is not what was written.")
