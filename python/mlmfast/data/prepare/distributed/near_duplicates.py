"""Near-duplicates in tasks: the keys of every unit, the pairs that they give, and the clusters.

A unit writes the keys of its documents while it is tokenized. Tasks then compare the keys of all
units, each a part of the buckets, and one task joins the pairs that they found into clusters. As on
one machine, the first document of each cluster is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from mlmfast._core import DocumentClusters, equal_keys
from mlmfast.data.prepare.distributed.job import Job, Tasks, atomic_file
from mlmfast.data.prepare.near.duplicates import NearDuplicates, write_duplicates
from mlmfast.data.prepare.near.keys import DocumentKeys
from mlmfast.data.prepare.near.segments import BUCKETS, HeldRecords, stored_records

if TYPE_CHECKING:
    from mlmfast.data.prepare.distributed.units import TokenizedUnit
    from mlmfast.data.prepare.reading.documents import DocumentBatch

KEYS_IN_A_TASK = 1 << 22
"""Keys that a task compares, about: 12 bytes each on disk, and four times that in memory."""
_RECORD = np.dtype([("key", "<u8"), ("number", "<u4")])
_DUPLICATES_FILE = "duplicates.bin"


class UnitKeys:
    """Writes the keys of a unit's documents, with their numbers in the unit, in segments."""

    def __init__(self, keys: DocumentKeys, file: BinaryIO) -> None:
        self._keys = keys
        self._file = file
        self._held = HeldRecords()
        self.count = 0
        """Keys so far."""

    def keep(self, batches: Iterator[DocumentBatch]) -> Iterator[DocumentBatch]:
        """Write the keys of batches, and yield the batches."""
        for batch in batches:
            records, bounds = self._keys.records(batch.texts, batch.numbers)
            self._held.add(records, bounds)
            self.count += len(records) // _RECORD.itemsize
            if self._held.full:
                self._held.write(self._file)
            yield batch
        if self._held:
            self._held.write(self._file)


@contextmanager
def unit_keys(job: Job, path: Path) -> Iterator[UnitKeys]:
    """Yield what writes the keys of a unit; the file appears at `path` when it is complete."""
    with atomic_file(path, job.tokens) as new, new.open("wb") as file:
        yield UnitKeys(DocumentKeys(job.options), file)


@dataclass(frozen=True)
class NearDropped:
    """The documents of a unit that are near-duplicates of an earlier one."""

    first: int
    """Number of the unit's first document in the whole input."""
    read: int
    """Number of the unit's documents."""

    def numbers(self, job: Job) -> np.ndarray:
        """Return their numbers in the unit, ascending uint64."""
        if not self.read:
            return np.zeros(0, np.uint64)
        found = NearDuplicates(job.tokens / _DUPLICATES_FILE)
        return found.between(self.first, self.first + self.read - 1) - np.uint64(self.first)


def drop_near_duplicates(tasks: Tasks, units: list[TokenizedUnit]) -> list[NearDropped] | None:
    """Find the near-duplicates of all units, in tasks.

    Returns:
        What to leave out of each unit; None if that is nothing.
    """
    files = tuple((unit.tokenized.hashes, unit.first) for unit in units)
    parts = parts_for(sum(unit.tokenized.hash_count for unit in units))
    if not sum(tasks.map(compare_keys, [(files, part, parts) for part in range(parts)])):
        return None
    read = sum(unit.tokenized.read for unit in units)
    list(tasks.map(cluster_pairs, [(parts, read)]))
    return [NearDropped(unit.first, unit.tokenized.read) for unit in units]


def parts_for(keys: int) -> int:
    """Return into how many parts the buckets are divided for so many keys."""
    return min(BUCKETS, max(1, -(-keys // KEYS_IN_A_TASK)))


def compare_keys(job: Job, files: tuple[tuple[str, int], ...], part: int, parts: int) -> int:
    """Write the pairs of documents with an equal key; return how many there are.

    Args:
        job: The run.
        files: The file of keys of each unit, and the number of the unit's first document.
        part: Which part of the buckets this task compares.
        parts: Number of parts.
    """
    job.check_here()
    first, stop = part * BUCKETS // parts, (part + 1) * BUCKETS // parts
    records = b"".join(
        _numbered(records, before)
        for file, before in files
        for records in stored_records(job.tokens / file, first, stop)
    )
    pairs = equal_keys(records)
    with (
        atomic_file(job.tokens / _pairs_file(part), job.tokens) as new,
        new.open("wb") as file_of_pairs,
    ):
        np.save(file_of_pairs, pairs)
    return len(pairs) // 2


def cluster_pairs(job: Job, parts: int, documents: int) -> None:
    """Write the numbers of the near-duplicates, which follow from the pairs.

    Args:
        job: The run.
        parts: Number of the files of pairs.
        documents: Number of the documents of all units.
    """
    job.check_here()
    clusters = DocumentClusters(documents)
    for part in range(parts):
        clusters.join(np.load(job.tokens / _pairs_file(part), mmap_mode="r"))
    with atomic_file(job.tokens / _DUPLICATES_FILE, job.tokens) as new:
        write_duplicates(new, clusters)


def _numbered(records: bytes, first: int) -> bytes:
    """Return records of a unit with the documents' numbers in the whole input."""
    numbered = np.frombuffer(records, _RECORD).copy()
    numbered["number"] += np.uint32(first)
    return numbered.tobytes()


def _pairs_file(part: int) -> str:
    return f"pairs-{part:05d}.npy"
