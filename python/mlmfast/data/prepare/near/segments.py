"""The keys of all documents, in files that each hold those of a stretch of documents by bucket."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlmfast.fs.checksums import FileStamp, sync_file, sync_folder

BUCKETS = 256
SEGMENT_BYTES = 64 << 20
"""Records to hold in memory before a file is written."""
_HEADER = np.dtype("<u8")
_HEADER_BYTES = (BUCKETS + 1) * _HEADER.itemsize


class Segments:
    """Files of records, of which one bucket at a time is read back.

    A file begins with where its buckets begin and end, 257 little-endian numbers of 64 bits; the
    records follow as `MinHasher.records` makes them.
    """

    def __init__(self, folder: Path, files: tuple[FileStamp, ...] = ()) -> None:
        """Add to the `files` in `folder`."""
        self._folder = folder
        self._held: list[tuple[memoryview, np.ndarray]] = []
        self._size = 0
        self.files = files
        """The files that are on disk."""

    def add(self, records: bytes, bounds: np.ndarray) -> None:
        """Add records, bucket by bucket, and where the buckets begin and end, [257]."""
        self._held.append((memoryview(records), bounds))
        self._size += len(records)

    @property
    def full(self) -> bool:
        """Whether so many records are held that it is time to write a file."""
        return self._size >= SEGMENT_BYTES

    def write(self) -> None:
        """Write what is held to a file of its own, and sync it to disk."""
        if not self._size:
            return
        path = self._folder / f"segment-{len(self.files):06d}.bin"
        bounds = np.sum([bounds for _, bounds in self._held], axis=0).astype(_HEADER)
        with path.open("wb") as file:
            file.write(bounds.tobytes())
            for bucket in range(BUCKETS):
                file.writelines(
                    records[each[bucket] : each[bucket + 1]] for records, each in self._held
                )
        sync_file(path)
        sync_folder(self._folder)
        self.files = (*self.files, FileStamp.of(path))
        self._held, self._size = [], 0

    def bucket(self, number: int) -> bytes:
        """Return the records of a bucket, of all files; may be called in any thread."""
        parts = []
        for stamp in self.files:
            with (self._folder / stamp.file).open("rb") as file:
                header = np.frombuffer(file.read(_HEADER_BYTES), _HEADER)
                start, end = int(header[number]), int(header[number + 1])
                file.seek(_HEADER_BYTES + start)
                parts.append(file.read(end - start))
        return b"".join(parts)

    def remove(self) -> None:
        """Remove all files."""
        for stamp in self.files:
            (self._folder / stamp.file).unlink(missing_ok=True)
        self.files = ()
