"""The keys of all documents, in segments that each hold those of a stretch of documents by bucket.

A segment begins with where its buckets begin and end, 257 little-endian numbers of 64 bits; the
records follow as `DocumentKeys.records` makes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mlmfast.fs.checksums import FileStamp, sync_file, sync_folder

BUCKETS = 256
SEGMENT_BYTES = 64 << 20
"""Records to hold in memory before a segment is written."""
_HEADER = np.dtype("<u8")
_HEADER_BYTES = (BUCKETS + 1) * _HEADER.itemsize


class HeldRecords:
    """Records in memory, until they are written as a segment."""

    def __init__(self) -> None:
        self._held: list[tuple[memoryview, np.ndarray]] = []
        self._size = 0

    def __bool__(self) -> bool:
        return self._size > 0

    @property
    def full(self) -> bool:
        """Whether so many records are held that it is time to write a segment."""
        return self._size >= SEGMENT_BYTES

    def add(self, records: bytes, bounds: np.ndarray) -> None:
        """Add records, bucket by bucket, and where the buckets begin and end, [257]."""
        self._held.append((memoryview(records), bounds))
        self._size += len(records)

    def write(self, file: BinaryIO) -> None:
        """Write what is held to a file, as a segment; nothing is held any more."""
        bounds = np.sum([bounds for _, bounds in self._held], axis=0).astype(_HEADER)
        file.write(bounds.tobytes())
        for bucket in range(BUCKETS):
            file.writelines(
                records[each[bucket] : each[bucket + 1]] for records, each in self._held
            )
        self._held, self._size = [], 0


def stored_records(path: Path, first: int, stop: int) -> Iterator[bytes]:
    """Yield, for each segment of a file, the records of the buckets from `first` up to `stop`."""
    with path.open("rb") as file:
        while header := file.read(_HEADER_BYTES):
            bounds = np.frombuffer(header, _HEADER).tolist()
            begin = file.tell()
            file.seek(begin + bounds[first])
            yield file.read(bounds[stop] - bounds[first])
            file.seek(begin + bounds[-1])


class Segments:
    """Files of one segment each, of which one bucket at a time is read back."""

    def __init__(self, folder: Path, files: tuple[FileStamp, ...] = ()) -> None:
        """Add to the `files` in `folder`."""
        self._folder = folder
        self.held = HeldRecords()
        """What is in none of the files yet."""
        self.files = files
        """The files that are on disk."""

    def write(self) -> None:
        """Write what is held to a file of its own, and sync it to disk."""
        if not self.held:
            return
        path = self._folder / f"segment-{len(self.files):06d}.bin"
        with path.open("wb") as file:
            self.held.write(file)
        sync_file(path)
        sync_folder(self._folder)
        self.files = (*self.files, FileStamp.of(path))

    def bucket(self, number: int) -> bytes:
        """Return the records of a bucket, of all files; may be called in any thread."""
        return b"".join(
            records
            for stamp in self.files
            for records in stored_records(self._folder / stamp.file, number, number + 1)
        )

    def remove(self) -> None:
        """Remove all files."""
        for stamp in self.files:
            (self._folder / stamp.file).unlink(missing_ok=True)
        self.files = ()
