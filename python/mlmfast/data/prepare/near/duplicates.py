"""The near-duplicates that were found, as the second pass over the text leaves them out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

    from mlmfast._core import DocumentClusters

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
            found = self.between(int(numbers[0]), int(numbers[-1]))
            fresh[np.searchsorted(numbers, found)] = False
        return fresh

    def between(self, first: int, last: int) -> np.ndarray:
        """Return the near-duplicates among the documents `first` to `last`, ascending uint64."""
        ends = np.array([first, last], DTYPE)
        start = int(np.searchsorted(self._numbers, ends[0], side="left"))
        stop = int(np.searchsorted(self._numbers, ends[1], side="right"))
        return np.asarray(self._numbers[start:stop]).astype(np.uint64)

    def restore(self, state: list[int]) -> None:
        """Do nothing: there is no state."""

    def clear(self) -> None:
        """Do nothing: there is no state."""

    def close(self) -> None:
        """Close the file."""
        self._numbers = np.zeros(0, DTYPE)


def write_duplicates(path: Path, clusters: DocumentClusters) -> None:
    """Write the file that `NearDuplicates` reads: all but the first document of each cluster."""
    path.write_bytes(clusters.duplicates().astype(DTYPE, copy=False).data)
