"""CSV and TSV with a header row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv

from mlmfast.data.sources.base import Piece, Place, unknown_column
from mlmfast.data.sources.bytes import ByteStream, as_file
from mlmfast.data.sources.utf8 import checked_text
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.data.sources.base import ReadOptions

# Half of what the longest row may have.
_LEAST_BYTES = 16 << 20


def read_csv(
    stream: ByteStream, options: ReadOptions, place: Place | None = None, *, delimiter: str = ","
) -> Iterator[Piece]:
    """Yield one column of a table in text; fields in quotes may hold line ends.

    Raises:
        InputError: There is no such column, or a row has not as many fields as the header.
    """
    file = as_file(stream)
    head = file.peek(1 << 20)
    if not head.strip():
        return
    column = options.text_column
    names = _header(head, delimiter, stream.name)
    if column not in names:
        raise unknown_column(stream.name, column, names)
    try:
        # A row must fit into a block; the text itself is checked afterwards, hence bytes.
        reader = pyarrow.csv.open_csv(
            file,
            pyarrow.csv.ReadOptions(
                block_size=2 * max(options.batch_bytes, _LEAST_BYTES), use_threads=False
            ),
            pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            pyarrow.csv.ConvertOptions(
                include_columns=[column],
                column_types={column: pa.large_binary()},
                strings_can_be_null=False,
            ),
        )
        row = 0
        start = place["row"] if place else 0
        for batch in reader:
            # The rows before `start` are read all the same: a line end in quotes is no row's end.
            if row + len(batch) > start:
                decode = partial(_documents, batch.column(0), stream.name, row + 1)
                yield Piece(decode, {"row": row}, stream.position)
            row += len(batch)
    except pa.ArrowInvalid as error:
        raise InputError(f"{stream.name} is no well-formed table: {error}.") from error


def _documents(column: pa.Array, name: str, first: int, options: ReadOptions) -> pa.Array:
    return checked_text(
        column, options, lambda row: f"{name}, row {first + row:,} below the header"
    )


def _header(head: bytes, delimiter: str, name: str) -> list[str]:
    text = head.decode("utf-8-sig", errors="replace")
    try:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except (csv.Error, StopIteration) as error:
        raise InputError(f"The header row of {name} cannot be read: {error}.") from error
