"""CSV and TSV with a header row."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from mlmfast._core import CsvColumn
from mlmfast.data.arrow_text import unknown_column
from mlmfast.data.sources.base import Groups, Location, Piece
from mlmfast.data.sources.byte_streams.streams import ByteStream, without_bom
from mlmfast.data.sources.group_column import finding_group_column
from mlmfast.data.sources.readers.utf8 import checked_text
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.data.sources.base import ReadOptions

logger = logging.getLogger(__name__)
_HEADER_BYTES = 1 << 20
_QUOTING_HINT = "If quotes are part of the text, use --csv-quoting none (csv_quoting='none')."


def read_csv(
    stream: ByteStream,
    options: ReadOptions,
    location: Location | None = None,
    *,
    delimiter: str = ",",
) -> Iterator[Piece]:
    """Yield one column of a CSV file as pandas reads it; quoted fields may contain line ends.

    Missing fields at the end of a row are null. "NA" and similar values are text. A location with
    "stop" ends at that byte, where another row begins.

    Raises:
        InputError: The column does not exist, a row has more fields than the header, or a quote is
            never closed.
    """
    delimiter = options.csv_delimiter or delimiter
    head = stream.read(max(options.batch_bytes, _HEADER_BYTES))
    data = without_bom(stream.name, head)
    offset = len(head) - len(data)
    if not data.strip():
        return
    names, first = _first_rows(data, delimiter, options.csv_quoting, stream.name)
    if options.text_column not in names:
        texts = [name for name, value in zip(names, first, strict=False) if not _is_number(value)]
        raise unknown_column(stream.name, options.text_column, names, texts)
    with finding_group_column():
        if options.group_column is not None and options.group_column not in names:
            raise unknown_column(stream.name, options.group_column, names)
    # Row -1 is the header.
    row, line = (location["row"], location["line"]) if location else (-1, 1)

    def reader_of(name: str) -> CsvColumn:
        return CsvColumn(
            ord(delimiter),
            None if options.csv_quoting == "none" else ord('"'),
            column=names.index(name),
            columns=len(names),
            line=line,
        )

    rows = reader_of(options.text_column)
    group_rows = None if options.group_column is None else reader_of(options.group_column)
    if location:
        data = _data_from(stream, head, location["offset"])
        offset = location["offset"]
    left = location["stop"] - offset if location and "stop" in location else None
    try:
        while True:
            if left is not None:
                data = data[:left]
                left -= len(data)
            start, line = rows.next_row
            last = not data
            column = _column(rows, data, stream.name, last=last)
            groups = None
            if group_rows is not None:
                groups = _column(group_rows, data, stream.name, last=last)
            here = {"offset": offset + start, "row": row, "line": line}
            row += len(column)
            if len(column) and here["row"] < 0:
                column = column.slice(1)
                groups = None if groups is None else groups.slice(1)
            if len(column):
                top = row - len(column) + 1
                decode = partial(_documents, column, stream.name, top)
                yield Piece(decode, here, stream.position, _groups(groups, stream.name, top))
            if last:
                break
            data = stream.read(options.batch_bytes)
    finally:
        _warn(rows, stream.name)


def _data_from(stream: ByteStream, head: bytes, offset: int) -> bytes:
    """Return the data after the first `offset` bytes, of which `head` has already been read."""
    if offset >= len(head):
        remaining = offset - len(head)
        while remaining and (part := stream.read(min(remaining, _HEADER_BYTES))):
            remaining -= len(part)
        return stream.read(_HEADER_BYTES)
    return head[offset:]


def _column(rows: CsvColumn, data: bytes, name: str, *, last: bool) -> pa.Array:
    try:
        offsets, values, nulls = rows.finish() if last else rows.feed(data)
    except ValueError as error:
        raise InputError(f"{name} is no well-formed table: {error}. {_QUOTING_HINT}") from None
    return large_binary(offsets, values, nulls)


def large_binary(offsets: Any, values: Any, nulls: Any) -> pa.Array:
    """Build a LargeBinary array from the core's buffers."""
    rows = len(offsets) - 1
    valid = None
    if len(nulls):
        bits = np.ones(rows, np.bool_)
        bits[nulls] = False
        valid = pa.py_buffer(np.packbits(bits, bitorder="little"))
    buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.large_binary(), rows, buffers, len(nulls))


def _documents(column: pa.Array, name: str, first: int, options: ReadOptions) -> pa.Array:
    return checked_text(
        column, options, lambda row: f"{name}, row {first + row:,} below the header"
    )


def _groups(column: pa.Array | None, name: str, first: int) -> Groups | None:
    if column is None:
        return None
    return Groups(
        partial(_documents, column, name, first),
        lambda row: f"{name}, row {first + row:,} below the header",
    )


def _first_rows(
    data: bytes, delimiter: str, quoting: str, name: str
) -> tuple[list[str], list[str]]:
    """Read the header and the first row, which is empty if it cannot be parsed."""
    text = io.StringIO(data[:_HEADER_BYTES].decode(errors="replace"), newline="")
    style: Literal[0, 3] = csv.QUOTE_NONE if quoting == "none" else csv.QUOTE_MINIMAL
    try:
        reader = csv.reader(text, delimiter=delimiter, quoting=style)
        header = next(row for row in reader if "".join(row).strip() or len(row) > 1)
    except (csv.Error, StopIteration) as error:
        raise InputError(f"The header row of {name} cannot be read: {error}.") from error
    try:
        return header, next(reader, [])
    except csv.Error:
        return header, []


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return not value.strip()
    return True


def _warn(rows: CsvColumn, name: str) -> None:
    """Warn of valid input that stray quotes also produce."""
    lines, count = rows.many_lines
    if count:
        logger.warning(
            "%s: quotes that open on %s are closed on a later line: %s over lines. %s",
            name,
            _lines(lines, count),
            "that field runs" if count == 1 else f"these {count:,} fields run",
            _QUOTING_HINT,
        )
    lines, count = rows.short
    if count:
        logger.warning(
            "%s: fewer fields than in the header on %s; what is missing is null.",
            name,
            _lines(lines, count),
        )


def _lines(lines: list[int], count: int) -> str:
    shown = ", ".join(f"{line:,}" for line in lines)
    return f"line{'' if count == 1 else 's'} {shown}{' ...' if count > len(lines) else ''}"
