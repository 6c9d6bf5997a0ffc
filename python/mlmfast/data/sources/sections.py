"""Sources cut into sections that can be read apart, each where the others are not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from mlmfast.data.sources.archives import ArchiveSource
from mlmfast.data.sources.base import BATCH_BYTES, Piece, Place, ReadOptions, Source
from mlmfast.data.sources.dataset_rows import DatasetSource
from mlmfast.data.sources.files import FileSource
from mlmfast.data.sources.records import is_json_lines
from mlmfast.data.sources.streams import ByteStream, whole_lines
from mlmfast.data.sources.txt import count_lines, unix_lines
from mlmfast.errors import InputError

_SECTION_ROWS = 1 << 16
_LINE_BYTES = 1 << 16


@dataclass
class Section:
    """A part of a source, and a source itself: together the sections give the whole, in order."""

    source: Source
    place: Place | None
    """Where it begins, and in "stop" where it ends; None for all of the source."""
    size: int | None
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.source.name

    def pieces(self, options: ReadOptions, place: Place | None = None) -> Iterator[Piece]:
        """Yield the documents of the section; it is always read from its beginning."""
        start = self.place
        if start is not None and "offset" in start and _kind(self.source) == "jsonl":
            # The file's first piece decides how the column is reached, wherever the section lies.
            first = next(self.source.pieces(options), None)
            if first is None:
                return
            start = {**start, "path": first.place["path"]}
        yield from self.source.pieces(options, start)

    def numbered(self) -> Section:
        """Count the lines before the section, so that errors name them by their numbers."""
        if self.place is None or "offset" not in self.place or not self.place["offset"]:
            return self
        ends = _kind(self.source) == "txt"
        with ByteStream(self.name) as stream:
            before = whole_lines(
                stream, BATCH_BYTES, stop=self.place["offset"], carriage_returns=ends
            )
            line = 1 + sum(count_lines(unix_lines(data) if ends else data) for _, data in before)
        return replace(self, place={**self.place, "line": line})

    def fingerprint(self) -> dict[str, Any] | None:
        """The source's, and the place."""
        whole = self.source.fingerprint()
        return None if whole is None else {**whole, "section": self.place}

    def stop(self) -> None:
        """Reading never waits."""


def split_source(source: Source, size: int, reading: ReadOptions | None = None) -> list[Section]:
    """Cut a source into sections of about `size` bytes, where it can be cut.

    `reading` tells how it is to be read.

    Text and JSON lines are cut at line ends, Parquet between row groups, data sets between rows.
    What is packed, CSV and Arrow files, and JSON that is no JSON lines, are one section.

    Raises:
        InputError: The source is there for this process alone.
    """
    if isinstance(source, DatasetSource):
        return _row_sections(source, source.size or 0)
    if isinstance(source, ArchiveSource):
        source = ArchiveSource(str(Path(source.name).absolute()), source.kind)
        return [Section(source, None, source.size)]
    if not isinstance(source, FileSource) or not source.regular:
        raise InputError(
            f"{source.name!r} is there for this process alone: with --engine ray the inputs must "
            "be files or data sets that every node can read. Write it to a file first, or use "
            "--engine local."
        )
    # Another process has another current folder.
    source = FileSource(str(Path(source.name).absolute()), source.kind)
    whole = [Section(source, None, source.size)]
    if source.size is None or source.size <= size:
        return whole
    with ByteStream(source.name) as stream:
        if stream.compressed or (source.kind == "jsonl" and not _has_lines(stream, reading)):
            return whole
    if source.kind in {"txt", "jsonl"}:
        return _line_sections(source, source.size, size)
    if source.kind == "parquet":
        return _group_sections(source, size)
    return whole


def _line_sections(source: FileSource, total: int, size: int) -> list[Section]:
    bounds = [0]
    with Path(source.name).open("rb", buffering=_LINE_BYTES) as file:
        while bounds[-1] + size < total:
            file.seek(bounds[-1] + size - 1)
            while (line := file.readline(_LINE_BYTES)) and not line.endswith(b"\n"):
                pass
            bounds.append(file.tell())
    if bounds[-1] < total:
        bounds.append(total)
    return [
        Section(source, {"offset": start, "stop": stop, "line": 1}, stop - start)
        for start, stop in pairwise(bounds)
    ]


def _group_sections(source: FileSource, size: int) -> list[Section]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        meta = pq.read_metadata(source.name)
    except (pa.ArrowException, OSError):
        return [Section(source, None, source.size)]  # who reads it says what is wrong
    groups = [meta.row_group(number) for number in range(meta.num_row_groups)]
    sections: list[Section] = []
    start = row = held = 0
    for number, group in enumerate(groups):
        row += group.num_rows
        held += sum(group.column(at).total_compressed_size for at in range(group.num_columns))
        if held >= size or number + 1 == len(groups):
            if row > start:
                sections.append(Section(source, {"row": start, "stop": row}, held))
            start, held = row, 0
    return sections or [Section(source, None, source.size)]


def _row_sections(source: DatasetSource, rows: int) -> list[Section]:
    bounds = [*np.arange(0, rows, _SECTION_ROWS).tolist(), rows]
    return [
        Section(source, {"row": start, "stop": stop}, stop - start)
        for start, stop in pairwise(bounds)
    ]


def _has_lines(stream: ByteStream, reading: ReadOptions | None) -> bool:
    return (reading is None or reading.json_field is None) and is_json_lines(stream)


def _kind(source: Source) -> str | None:
    return source.kind if isinstance(source, FileSource) else None
