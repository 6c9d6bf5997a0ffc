"""Splitting sources into sections that different processes can read independently."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mlmfast.data.sources.archives import ArchiveSource
from mlmfast.data.sources.base import BATCH_BYTES, Location, Piece, ReadOptions, Source
from mlmfast.data.sources.byte_streams.streams import ByteStream, whole_lines
from mlmfast.data.sources.dataset_rows import DatasetSource
from mlmfast.data.sources.document_files import DocumentFiles
from mlmfast.data.sources.files import FileSource
from mlmfast.data.sources.mds.source import MdsSource
from mlmfast.data.sources.readers.columnar import arrow_parts
from mlmfast.data.sources.readers.records import is_json_lines
from mlmfast.data.sources.readers.txt import count_lines, unix_lines
from mlmfast.errors import InputError

logger = logging.getLogger("mlmfast.prepare")

_SECTION_ROWS = 1 << 16
_LINE_BYTES = 1 << 16
_HEADER = re.compile(rb"[\r\n]>")


@dataclass
class Section:
    """A part of a source, itself a source; the sections in order give the whole source."""

    source: Source
    location: Location | None
    """Where the section begins and, as "stop", ends; None for the whole source."""
    size: int | None
    name: str = field(init=False)
    text_size: int | None = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.source.name
        self.text_size = self.size

    def pieces(self, options: ReadOptions, location: Location | None = None) -> Iterator[Piece]:
        """Yield the documents of the section, always from its start."""
        start = self.location
        if start is not None and "offset" in start and _kind(self.source) == "jsonl":
            # The first piece of the file decides the paths to the columns, for all sections.
            first = next(self.source.pieces(options), None)
            if first is None:
                return
            start = {**first.location, **start}
        yield from self.source.pieces(options, start)

    def numbered(self) -> Section:
        """Return the section with the number of its first line, which error messages need."""
        if not (self.location or {}).get("offset") or _kind(self.source) in {"csv", "tsv"}:
            return self  # rows of CSV have their numbers
        assert self.location is not None  # noqa: S101 - it has an offset
        is_text = _kind(self.source) in {"txt", "fasta"}
        with ByteStream(self.name) as stream:
            before = whole_lines(
                stream, BATCH_BYTES, stop=self.location["offset"], carriage_returns=is_text
            )
            line = 1 + sum(count_lines(unix_lines(data) if is_text else data) for _, data in before)
        return replace(self, location={**self.location, "line": line})

    def fingerprint(self) -> dict[str, Any] | None:
        """Return the source's fingerprint together with the location."""
        whole = self.source.fingerprint()
        return None if whole is None else {**whole, "section": self.location}

    def stop(self) -> None:
        """Do nothing: reading never blocks."""


def split_source(source: Source, size: int, reading: ReadOptions | None = None) -> list[Section]:
    """Split a source into sections of about `size` bytes, if its format allows it.

    Text and JSON lines are split at line ends, FASTA between records, CSV between rows, Parquet
    between row groups, Arrow files between record batches, data sets between rows, MDS between
    shards, and plain documents between files. Compressed files, archives, WebDataset, Arrow
    streams, JSON other than JSON lines and files at URLs are a single section; the log names large
    ones.

    Where the rows of a CSV file begin shows only when it is read from its beginning, since a quoted
    field may hold line ends: it is read once, here.

    Args:
        source: The source.
        size: Approximate bytes per section.
        reading: How the source will be read.

    Raises:
        InputError: Other processes cannot read the source.
    """
    if isinstance(source, DocumentFiles):
        return [Section(part, None, part.size) for part in source.parts(size)]
    if isinstance(source, MdsSource):
        return _shard_sections(MdsSource(str(Path(source.name).absolute())), size)
    if isinstance(source, DatasetSource):
        return _row_sections(source, source.size or 0)
    if isinstance(source, ArchiveSource | FileSource) and source.remote is not None:
        return _one_section(source, size, "at a URL")
    if isinstance(source, ArchiveSource):
        source = ArchiveSource(str(Path(source.name).absolute()), source.kind)
        return _one_section(source, size, "an archive")
    if not isinstance(source, FileSource) or not source.regular:
        raise InputError(
            f"Only this process can read {source.name!r}: with --engine ray, the inputs must be "
            "files or data sets that every node can read. Write it to a file first, or use "
            "--engine local."
        )
    # Absolute, since another process may have another working directory.
    source = FileSource(str(Path(source.name).absolute()), source.kind)
    if source.size is None or source.size <= size:
        return [Section(source, None, source.size)]
    with ByteStream(source.name) as stream:
        if stream.compressed:
            return _one_section(source, size, "compressed")
        if source.kind == "jsonl" and not _is_line_based(stream, reading):
            return _one_section(source, size, "JSON, but not JSON lines")
    return _file_sections(source, source.size, size, reading or ReadOptions())


def _file_sections(
    source: FileSource, total: int, size: int, reading: ReadOptions
) -> list[Section]:
    """Split a file that is not compressed."""
    if source.kind in {"txt", "jsonl", "fasta"}:
        return _line_sections(source, total, size)
    if source.kind in {"csv", "tsv"}:
        return _csv_sections(source, total, size, reading)
    if source.kind == "parquet":
        return _group_sections(source, size)
    if source.kind == "arrow":
        return _batch_sections(source, total, size)
    return _one_section(source, size, f"a {source.kind} file")


def _one_section(source: Source, size: int, reason: str) -> list[Section]:
    """Return a source as a single section; log that if it is a large one."""
    if source.size is not None and source.size > size:
        logger.info(
            "%s, %.1f MB, is read by one task, since it is %s: several smaller files would share "
            "the work.",
            source.name,
            source.size / 1e6,
            reason,
        )
    return [Section(source, None, source.size)]


def _csv_sections(source: FileSource, total: int, size: int, reading: ReadOptions) -> list[Section]:
    starts: list[Location] = []
    try:
        # Another object, since one that was read holds a stream, and tasks get the source.
        for piece in FileSource(source.name, source.kind).pieces(reading):
            if not starts or piece.location["offset"] - starts[-1]["offset"] >= size:
                starts.append(piece.location)
    except InputError:
        return [Section(source, None, total)]  # the task that reads it raises the error again
    stops = [*(start["offset"] for start in starts[1:]), total]
    return [
        Section(source, {**start, "stop": stop}, stop - start["offset"])
        for start, stop in zip(starts, stops, strict=False)
    ] or [Section(source, None, total)]


def _batch_sections(source: FileSource, total: int, size: int) -> list[Section]:
    import pyarrow as pa

    try:
        parts = arrow_parts(source.name, -(-total // size))
    except (pa.ArrowException, OSError):
        return [Section(source, None, total)]  # reading the file raises a clear error
    if not parts:
        return _one_section(source, size, "an Arrow stream")
    return [Section(source, part, total // len(parts)) for part in parts]


def _line_sections(source: FileSource, total: int, size: int) -> list[Section]:
    bounds = [0]
    with Path(source.name).open("rb", buffering=_LINE_BYTES) as file:
        while bounds[-1] + size < total:
            file.seek(bounds[-1] + size - 1)
            bounds.append(_next_record(file) if source.kind == "fasta" else _next_line(file))
    if bounds[-1] < total:
        bounds.append(total)
    return [
        Section(source, {"offset": start, "stop": stop, "line": 1}, stop - start)
        for start, stop in pairwise(bounds)
    ]


def _next_line(file: BinaryIO) -> int:
    """Return where the next line begins."""
    while (line := file.readline(_LINE_BYTES)) and not line.endswith(b"\n"):
        pass
    return file.tell()


def _next_record(file: BinaryIO) -> int:
    """Return where the next record of a FASTA file begins."""
    data = file.read(_LINE_BYTES)
    while (found := _HEADER.search(data)) is None:
        more = file.read(_LINE_BYTES)
        if not more:
            return file.tell()
        data = data[-1:] + more
    return file.tell() - len(data) + found.end() - 1


def _group_sections(source: FileSource, size: int) -> list[Section]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        meta = pq.read_metadata(source.name)
    except (pa.ArrowException, OSError):
        return [Section(source, None, source.size)]  # reading the file raises a clear error
    groups = [meta.row_group(number) for number in range(meta.num_row_groups)]
    sections: list[Section] = []
    start = row = section_bytes = 0
    for number, group in enumerate(groups):
        row += group.num_rows
        section_bytes += sum(
            group.column(at).total_compressed_size for at in range(group.num_columns)
        )
        if section_bytes >= size or number + 1 == len(groups):
            if row > start:
                sections.append(Section(source, {"row": start, "stop": row}, section_bytes))
            start, section_bytes = row, 0
    return sections or [Section(source, None, source.size)]


def _shard_sections(source: MdsSource, size: int) -> list[Section]:
    sizes = np.cumsum([shard.raw_bytes for shard in source.shards])
    starts = np.flatnonzero(np.diff((sizes - 1) // size, prepend=-1)).tolist()
    sections = []
    for start, stop in zip(starts, [*starts[1:], len(source.shards)], strict=True):
        before = int(sizes[start - 1]) if start else 0
        location = {"shard": start, "row": 0, "stop": stop}
        sections.append(Section(source, location, int(sizes[stop - 1]) - before))
    return sections


def _row_sections(source: DatasetSource, rows: int) -> list[Section]:
    bounds = [*np.arange(0, rows, _SECTION_ROWS).tolist(), rows]
    return [
        Section(source, {"row": start, "stop": stop}, stop - start)
        for start, stop in pairwise(bounds)
    ]


def _is_line_based(stream: ByteStream, reading: ReadOptions | None) -> bool:
    return (reading is None or reading.json_field is None) and is_json_lines(stream)


def _kind(source: Source) -> str | None:
    return source.kind if isinstance(source, FileSource) else None
