"""Splitting sources into sections that different processes can read independently."""

from __future__ import annotations

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
from mlmfast.data.sources.readers.records import is_json_lines
from mlmfast.data.sources.readers.txt import count_lines, unix_lines
from mlmfast.errors import InputError

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
        if self.location is None or "offset" not in self.location or not self.location["offset"]:
            return self
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

    Text and JSON lines are split at line ends, FASTA between records, Parquet between row groups,
    data sets between rows, MDS between shards, and plain documents between files. Compressed files,
    archives, WebDataset, CSV, Arrow, JSON other than JSON lines and files at URLs are a single
    section.

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
        return [Section(source, None, source.size)]
    if isinstance(source, ArchiveSource):
        source = ArchiveSource(str(Path(source.name).absolute()), source.kind)
        return [Section(source, None, source.size)]
    if not isinstance(source, FileSource) or not source.regular:
        raise InputError(
            f"Only this process can read {source.name!r}: with --engine ray, the inputs must be "
            "files or data sets that every node can read. Write it to a file first, or use "
            "--engine local."
        )
    # Absolute, since another process may have another working directory.
    source = FileSource(str(Path(source.name).absolute()), source.kind)
    whole = [Section(source, None, source.size)]
    if source.size is None or source.size <= size:
        return whole
    with ByteStream(source.name) as stream:
        if stream.compressed or (source.kind == "jsonl" and not _is_line_based(stream, reading)):
            return whole
    if source.kind in {"txt", "jsonl", "fasta"}:
        return _line_sections(source, source.size, size)
    if source.kind == "parquet":
        return _group_sections(source, size)
    return whole


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
