"""Exact duplicates in tasks: every unit's hashes of its texts, and the documents that come again.

A unit leaves out its own duplicates while it is read, and writes the hashes of the rest, sorted.
Tasks then compare the hashes of all units, each a part of the range of hashes. The first of equal
texts is kept, in the order of reading, as on one machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mlmfast._core import TextHashSet
from mlmfast.data.prepare.distributed.job import Job, Tasks, atomic_file

if TYPE_CHECKING:
    import pyarrow as pa

    from mlmfast.data.prepare.distributed.units import TokenizedUnit

HASHES_IN_A_TASK = 1 << 22
"""Texts that a task compares, about: 24 bytes each on disk, and five times that in memory."""


class Dropped(Protocol):
    """The documents of a unit to leave out."""

    def numbers(self, job: Job) -> np.ndarray:
        """Return their numbers in the unit, ascending uint64."""


@dataclass(frozen=True)
class ExactDropped:
    """The documents of a unit whose texts came in an earlier one."""

    unit: int
    """Index of the unit."""
    parts: int
    """Number of the files, of each part of the range of hashes."""

    def numbers(self, job: Job) -> np.ndarray:
        """Return their numbers in the unit, ascending uint64."""
        found = [np.zeros(0, np.uint64)]
        for part in range(self.parts):
            units, numbers = np.load(job.tokens / _file_of(part), mmap_mode="r")
            first, stop = np.searchsorted(units, [self.unit, self.unit + 1])
            found.append(np.asarray(numbers[first:stop]))
        return np.sort(np.concatenate(found))


class UnitTexts:
    """Tells the texts that came before in a unit, and keeps the hashes of the others.

    It is the `Deduplication` of a unit's documents.
    """

    state = None
    """A unit is read from its beginning, always."""

    def __init__(self) -> None:
        self._texts = TextHashSet()
        self._keys: list[np.ndarray] = []
        self._numbers: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self._texts)

    def restore(self, state: list[int]) -> None:
        """Do nothing: there is no state."""

    def clear(self) -> None:
        """Do nothing: there is no state."""

    def close(self) -> None:
        """Do nothing: there is no file."""

    def fresh(self, texts: pa.LargeStringArray, numbers: np.ndarray) -> np.ndarray:
        """Return for each text whether it is new in the unit; a null never is."""
        fresh, keys = self._texts.add(texts)
        self._keys.append(np.frombuffer(keys, "<u8").reshape(-1, 2))
        self._numbers.append(numbers[fresh])
        return fresh

    def write(self, path: Path) -> None:
        """Write the hashes, sorted, with the numbers of the documents: uint64 `[3, N]`."""
        keys = np.concatenate([np.zeros((0, 2), "<u8"), *self._keys])
        numbers = np.concatenate([np.zeros(0, "<u8"), *self._numbers]).astype("<u8")
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        with path.open("wb") as file:
            np.save(file, np.stack([keys[order, 0], keys[order, 1], numbers[order]]))


def drop_duplicates(tasks: Tasks, units: list[TokenizedUnit]) -> list[ExactDropped] | None:
    """Find the documents whose texts came in an earlier unit, in tasks.

    Returns:
        What to leave out of each unit; None if that is nothing.
    """
    files = tuple(unit.tokenized.hashes for unit in units)
    parts = parts_for(sum(unit.tokenized.hash_count for unit in units))
    if not sum(tasks.map(find_duplicates, [(files, part, parts) for part in range(parts)])):
        return None
    return [ExactDropped(unit, parts) for unit in range(len(units))]


def parts_for(texts: int) -> int:
    """Return into how many parts the range of hashes is divided for so many texts."""
    return max(1, -(-texts // HASHES_IN_A_TASK))


def find_duplicates(job: Job, files: tuple[str, ...], part: int, parts: int) -> int:
    """List the documents whose texts came in an earlier unit; return how many there are.

    Args:
        job: The run.
        files: The file of hashes of each unit, in the order of reading.
        part: Which part of the range of hashes this task compares.
        parts: Number of parts.
    """
    job.check_here()
    ends = [np.uint64((part + at) * 2**64 // parts) for at in (0, 1) if part + at < parts]
    found = []
    for unit, file in enumerate(files):
        hashes = np.load(job.tokens / file, mmap_mode="r")
        first, stop = [*np.searchsorted(hashes[0], ends).tolist(), hashes.shape[1]][:2]
        units = np.full((1, stop - first), unit, np.uint64)
        found.append(np.vstack([hashes[:, first:stop], units]))
    every = np.hstack([np.zeros((4, 0), np.uint64), *found])
    # Stable, so that equal hashes stay in the order of their units.
    every = every[:, np.lexsort((every[1], every[0]))]
    again = np.zeros(every.shape[1], bool)
    again[1:] = (every[:2, 1:] == every[:2, :-1]).all(0)
    numbers, units = every[2, again], every[3, again]
    order = np.lexsort((numbers, units))
    with (
        atomic_file(job.tokens / _file_of(part), job.tokens) as new,
        new.open("wb") as file_of_numbers,
    ):
        np.save(file_of_numbers, np.stack([units[order], numbers[order]]))
    return int(again.sum())


def _file_of(part: int) -> str:
    return f"duplicates-{part:05d}.npy"
