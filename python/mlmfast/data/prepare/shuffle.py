"""A uniform random order of any number of documents, by an external sort on disk."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mlmfast.data.arrow_numpy import arrow_numbers, numpy_numbers, text_bytes
from mlmfast.data.prepare.reading.documents import Cursor, DocumentBatch
from mlmfast.data.prepare.split import hash_u64
from mlmfast.data.sources.base import Source, bounded
from mlmfast.errors import StoreError
from mlmfast.fs.checksums import FileStamp, sync_file, sync_folder

# Size to aim at: a bucket is sorted in memory, which takes about three times its size.
_BUCKET_BYTES = 64 << 20
MOST_BUCKETS = 1024
"""Buckets at most."""
_BUFFER_BYTES = 64 << 20
_UNKNOWN_BYTES = 16 << 30
_SALT = 0x53_48_55_46_46_4C_45  # makes the order independent of the split of the same seed
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True)
class Spilled:
    """The buckets that the first pass wrote; the second may read them in another process."""

    buckets: int
    text_bytes: int
    """UTF-8 bytes of all documents."""
    read: int
    """Documents that were read, including those left out."""
    files: tuple[FileStamp, ...]
    """The buckets that are not empty, in order."""

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Spilled:
        """Undo `dataclasses.asdict`."""
        return cls(**{**content, "files": tuple(FileStamp(**file) for file in content["files"])})


class ExternalShuffle:
    """Sorts all documents by a random 64-bit key, a pure function of the seed and their number.

    The first pass distributes the documents over buckets, files in `folder`, by the first bits of
    their keys; the second sorts one bucket after the other in memory and yields its documents.
    Every permutation is possible, and the number of buckets does not change the order. The disk
    holds the text once more, compressed with lz4; memory holds three times a bucket, which has at
    most 64 MB for up to 64 GB of text and a 1024th of the text beyond that.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        """Keep the buckets in `folder`."""
        self._folder = folder
        self._seed = seed
        self._hashes: dict[int, Any] = {}  # bucket -> hash of its file so far

    def damaged(self, spilled: Spilled, start: Cursor) -> str | None:
        """Return the name of a bucket that is not as it was written; None if all are.

        Args:
            spilled: The buckets that were written.
            start: Where the second pass begins; buckets before it are not needed.
        """
        for stamp in spilled.files:
            if _bucket_of(stamp) >= start.source and not stamp.matches(self._folder):
                return stamp.file
        return None

    def spill(
        self,
        batches: Iterable[DocumentBatch],
        *,
        expected_bytes: int,
        advance: Callable[[int], object],
        read: Callable[[], int],
    ) -> Spilled:
        """Write all documents to their buckets, and sync them to disk.

        Args:
            batches: The documents, in the order of reading.
            expected_bytes: About how much text there is.
            advance: Called with the position of each batch when it has been read.
            read: Returns, after the last batch, how many documents were read.
        """
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        self._hashes = {}
        bits = max(0, (max(1, expected_bytes) // _BUCKET_BYTES).bit_length())
        bits = min(bits, MOST_BUCKETS.bit_length() - 1)
        held: list[DocumentBatch] = []
        size = total = 0
        for batch in batches:
            held.append(batch)
            size += batch.texts.nbytes
            if size >= _BUFFER_BYTES:
                total += self._write(held, bits)
                held, size = [], 0
            advance(batch.cursor.position)
        if held:
            total += self._write(held, bits)
        files = []
        for bucket, digest in sorted(self._hashes.items()):
            path = self._path(bucket)
            sync_file(path)
            files.append(FileStamp(path.name, path.stat().st_size, digest.hexdigest()))
        sync_folder(self._folder)
        return Spilled(1 << bits, total, read(), tuple(files))

    def batches(self, spilled: Spilled, start: Cursor, batch_bytes: int) -> Iterator[DocumentBatch]:
        """Yield the documents in their new order, from the cursor of such a batch on.

        Raises:
            StoreError: A bucket is not as it was written.
        """
        position, done = start.position, start.rows
        for stamp in spilled.files:
            number = _bucket_of(stamp)
            if number < start.source:
                continue
            if not stamp.matches(self._folder):
                raise StoreError(
                    f"{str(self._folder / stamp.file)!r}, a bucket of shuffled documents, is not "
                    "what was written: something changed it, or the disk loses data."
                )
            table = _read(self._folder / stamp.file)
            numbers = numpy_numbers(table["number"].combine_chunks())
            order = np.argsort(order_keys(numbers, self._seed))[done:]
            numbers = numbers[order]
            groups = None
            if "group" in table.column_names:
                groups = numpy_numbers(table["group"].combine_chunks())[order]
            texts = table["text"].combine_chunks().take(arrow_numbers(order))
            first = 0
            for part in bounded(texts, batch_bytes):
                part_numbers = numbers[first : first + len(part)]
                part_groups = None if groups is None else groups[first : first + len(part)]
                first += len(part)
                position += text_bytes(part)
                cursor = Cursor(number, rows=done + first, position=position)
                yield DocumentBatch(part, part_numbers, part_groups, cursor)
            done = 0

    def _write(self, batches: list[DocumentBatch], bits: int) -> int:
        numbers = np.concatenate([batch.numbers for batch in batches])
        columns = {
            "number": arrow_numbers(numbers),
            "text": pa.concat_arrays([batch.texts for batch in batches]),
        }
        groups = [batch.groups for batch in batches if batch.groups is not None]
        if groups:
            columns["group"] = arrow_numbers(np.concatenate(groups))
        keys = order_keys(numbers, self._seed)
        buckets = _first_bits(keys, bits)
        order = np.argsort(buckets, kind="stable")
        ends = np.cumsum(np.bincount(buckets[order].astype(np.int64), minlength=1 << bits))
        spilled = pa.record_batch(columns).take(arrow_numbers(order))
        start = 0
        for bucket, end in enumerate(ends.tolist()):
            if end > start:
                sink = pa.BufferOutputStream()
                with pa.ipc.new_stream(sink, spilled.schema, options=_OPTIONS) as writer:
                    writer.write_batch(spilled.slice(start, end - start))
                written = sink.getvalue()
                self._hashes.setdefault(bucket, hashlib.sha256()).update(written)
                with self._path(bucket).open("ab") as file:
                    file.write(written)
            start = end
        return text_bytes(columns["text"])

    def _path(self, bucket: int) -> Path:
        return self._folder / f"{bucket:04d}.arrow"


def order_keys(numbers: np.ndarray, seed: int) -> np.ndarray:
    """Return the keys by which documents are sorted, uint64, no two of them equal.

    Args:
        numbers: Their numbers in the order of reading, uint64.
        seed: Any integer.
    """
    return hash_u64(numbers, seed ^ _SALT)


def expected_text(sources: Iterable[Source]) -> int:
    """Return about how much text the sources hold; a guess where that is unknown."""
    return sum(
        _UNKNOWN_BYTES if source.text_size is None else source.text_size for source in sources
    )


def _bucket_of(stamp: FileStamp) -> int:
    return int(stamp.file.partition(".")[0])


def _first_bits(keys: np.ndarray, bits: int) -> np.ndarray:
    # In two steps, since shifting a 64-bit number by 64 bits is not defined.
    return (keys >> np.uint64(1)) >> np.uint64(63 - bits)


def _read(path: Path) -> pa.Table:
    """Read a bucket, a file of several Arrow streams."""
    size = path.stat().st_size
    tables = []
    with path.open("rb") as file:
        while file.tell() < size:
            tables.append(pa.ipc.open_stream(file).read_all())
    return pa.concat_tables(tables)
