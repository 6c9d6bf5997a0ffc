"""The near-duplicates that were found, as the second pass over the text leaves them out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

DTYPE = np.dtype("<u4")
"""Of the file: numbers of documents in ascending order."""


class NearDuplicates:
    """Tells the documents that are near-duplicates of an earlier one, by their numbers."""

    state = None
    """Nothing changes while documents pass by."""

    def __init__(self, path: Path) -> None:
        """Read the file at `path` while it is needed, not into memory."""
        empty = not path.stat().st_size
        self._numbers = np.zeros(0, DTYPE) if empty else np.memmap(path, DTYPE, "r")

    def fresh(self, texts: pa.LargeStringArray, numbers: np.ndarray) -> np.ndarray:
        """Return for each document whether it is kept.

        Args:
            texts: Any; the search has read them.
            numbers: The documents' numbers, uint64, ascending; those between the first and the last
                that are missing were left out by the search as well.
        """
        fresh = np.ones(len(numbers), bool)
        if len(numbers):
            ends = np.array([numbers[0], numbers[-1]]).astype(DTYPE)
            first = int(np.searchsorted(self._numbers, ends[0], side="left"))
            end = int(np.searchsorted(self._numbers, ends[1], side="right"))
            found = np.asarray(self._numbers[first:end]).astype(np.uint64)
            fresh[np.searchsorted(numbers, found)] = False
        return fresh

    def restore(self, state: list[int]) -> None:
        """Do nothing: there is no state."""

    def clear(self) -> None:
        """Do nothing: there is no state."""

    def close(self) -> None:
        """Close the file."""
        self._numbers = np.zeros(0, DTYPE)
