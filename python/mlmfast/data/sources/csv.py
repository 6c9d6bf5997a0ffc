"""CSV and TSV with a header row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv

from mlmfast.data.sources.base import unknown_column
from mlmfast.data.sources.bytes import ByteStream, as_file
from mlmfast.data.sources.utf8 import checked_text
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.data.sources.base import ReadOptions


def read_csv(
    stream: ByteStream, options: ReadOptions, *, delimiter: str = ","
) -> Iterator[pa.Array]:
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
            pyarrow.csv.ReadOptions(block_size=2 * options.batch_bytes, use_threads=False),
            pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            pyarrow.csv.ConvertOptions(
                include_columns=[column],
                column_types={column: pa.large_binary()},
                strings_can_be_null=False,
            ),
        )
        first = 1
        for batch in reader:

            def where(row: int, first: int = first) -> str:
                return f"{stream.name}, row {first + row:,} below the header"

            yield checked_text(batch.column(0), options, where)
            first += len(batch)
    except pa.ArrowInvalid as error:
        raise InputError(f"{stream.name} is no well-formed table: {error}.") from error


def _header(head: bytes, delimiter: str, name: str) -> list[str]:
    text = head.decode("utf-8-sig", errors="replace")
    try:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except (csv.Error, StopIteration) as error:
        raise InputError(f"The header row of {name} cannot be read: {error}.") from error
