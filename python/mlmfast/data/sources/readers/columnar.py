"""Parquet files and Arrow IPC files and streams (feather included)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlmfast.data.arrow_text import leaf_names, text_columns, unknown_column
from mlmfast.data.sources.base import (
    BATCH_BYTES,
    Groups,
    Location,
    Piece,
    ReadOptions,
    resolve_column,
)
from mlmfast.data.sources.group_column import finding_group_column
from mlmfast.data.sources.readers.utf8 import column_text
from mlmfast.errors import InputError, MlmfastError, first_line

if TYPE_CHECKING:
    from mlmfast.data.sources.base import ReadOptions
    from mlmfast.data.sources.byte_streams.streams import ByteStream


_COPY_BYTES = 1 << 20


def read_parquet(
    stream: ByteStream, options: ReadOptions, location: Location | None = None
) -> Iterator[Piece]:
    """Yield the documents of a Parquet file; only the pages of the column are read."""
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(_seekable(stream))
        path = _resolve(file.schema_arrow, options.text_column, stream.name)
        group = _resolve_group(file.schema_arrow, options, stream.name)
        meta = file.metadata
        starts = np.cumsum([0, *(meta.row_group(at).num_rows for at in range(meta.num_row_groups))])
        row = location["row"] if location else 0
        first = max(0, int(np.searchsorted(starts[:-1], row, side="right")) - 1)
        groups = meta.num_row_groups
        if location and "stop" in location:
            groups = int(np.searchsorted(starts, location["stop"]))
        batches = file.iter_batches(
            batch_size=_rows(meta),
            columns=list({_leaf(file, one): None for one in (path, group) if one is not None}),
            row_groups=list(range(first, groups)),
        )
        pieces = _Pieces(
            path, stream.name, meta.num_rows, stream.size, int(starts[first]), group=group
        )
        yield from pieces.of(batches, row)
    except (pa.ArrowException, OSError) as error:
        raise _damage_error(stream.name, "Parquet", error) from error


def read_arrow(
    stream: ByteStream, options: ReadOptions, location: Location | None = None
) -> Iterator[Piece]:
    """Yield the documents of an Arrow IPC file or stream.

    A location with "batch" and "stop" is that of record batches of a file, the first of which
    begins at its "row".
    """
    begin = 0
    try:
        source = _seekable(stream)
        if _is_arrow_file(source):
            file = pa.ipc.open_file(source)
            schema: pa.Schema = file.schema
            numbers = range(file.num_record_batches)
            if location and "batch" in location:
                numbers, begin = range(location["batch"], location["stop"]), location["row"]
            batches = (file.get_batch(number) for number in numbers)
        else:
            batches = pa.ipc.open_stream(source)
            schema = batches.schema
        path = _resolve(schema, options.text_column, stream.name)
        group = _resolve_group(schema, options, stream.name)
        pieces = _Pieces(path, stream.name, 0, stream.size, begin, tell=source.tell, group=group)
        yield from pieces.of(batches, location["row"] if location else 0)
    except (pa.ArrowException, OSError) as error:
        raise _damage_error(stream.name, "Arrow", error) from error


def arrow_parts(name: str, count: int) -> list[Location]:
    """Return the locations of `count` parts of an Arrow IPC file, or of as many as it has batches.

    The rows of its record batches are counted, for which compressed ones are read. An IPC stream,
    whose batches have no index, is no parts.
    """
    with pa.memory_map(name) as source:
        if not _is_arrow_file(source):
            return []
        file = pa.ipc.open_file(source)
        batches = file.num_record_batches
        rows = [file.get_batch(number).num_rows for number in range(batches)]
    before = np.cumsum([0, *rows]).tolist()
    parts = min(count, batches)
    ends = [batches * part // parts for part in range(parts + 1)] if parts else []
    return [{"row": before[first], "batch": first, "stop": stop} for first, stop in pairwise(ends)]


def _is_arrow_file(source: Any) -> bool:
    """Whether this is an IPC file, and not a stream; reading begins at the start again."""
    start = source.read(6)
    source.seek(0)
    return bool(start == b"ARROW1")


def read_batches(
    schema: pa.Schema,
    batches: Any,
    options: ReadOptions,
    name: str,
    *,
    rows: int = 0,
    first: int = 0,
) -> Iterator[Piece]:
    """Yield the documents of record batches, which may be produced lazily.

    Args:
        schema: The schema of the batches.
        batches: Record batches or tables.
        options: How to read.
        name: The source's name in messages.
        rows: The total number of rows, the unit of the pieces' positions.
        first: Number of rows that precede the batches.
    """
    path = _resolve(schema, options.text_column, name)
    group = _resolve_group(schema, options, name)
    return _Pieces(path, name, rows, rows, first, group=group).of(batches, first)


class _Pieces:
    """Makes pieces of record batches and counts their rows."""

    def __init__(
        self,
        path: tuple[str, ...],
        name: str,
        rows: int,
        size: int | None,
        row: int,
        tell: Callable[[], int] | None = None,
        group: tuple[str, ...] | None = None,
    ) -> None:
        self._path = path
        self._group = group
        self._name = name
        self._rows = rows
        self._size = size or 0
        self._row = row
        self._tell = tell

    def of(self, batches: Any, start: int) -> Iterator[Piece]:
        """Yield a piece for every batch that ends after row `start`."""
        for batch in batches:
            column = batch.column(self._path[0])
            before = self._row
            for array in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
                skipped = min(max(0, start - self._row), len(array))
                row = self._row + skipped
                self._row += len(array)
                if skipped < len(array) or not skipped:
                    decode = partial(_decode, array.slice(skipped), self._path, self._name, row + 1)
                    groups = self._groups(batch, row - before, len(array) - skipped, row + 1)
                    yield Piece(decode, {"row": row}, self._position(), groups)

    def _groups(self, batch: Any, start: int, count: int, first: int) -> Groups | None:
        if self._group is None:
            return None
        column = batch.column(self._group[0]).slice(start, count)
        if isinstance(column, pa.ChunkedArray):  # perhaps cut elsewhere than the text
            column = column.combine_chunks()
        decode = partial(_decode, column, self._group, self._name, first)
        return Groups(decode, lambda row: f"{self._name}, row {first + row:,}")

    def _position(self) -> int:
        if self._tell is not None:
            return self._tell()
        return self._size * self._row // max(1, self._rows)


def _decode(
    array: pa.Array, path: tuple[str, ...], name: str, first: int, options: ReadOptions
) -> pa.Array:
    return column_text(array, path[1:], options, name, lambda row: f"{name}, row {first + row:,}")


def _resolve(schema: pa.Schema, text_column: str, name: str) -> tuple[str, ...]:
    path = resolve_column(schema.names, text_column)
    if path is None:
        raise unknown_column(name, text_column, leaf_names(list(schema)), text_columns(schema))
    return path


def _resolve_group(schema: pa.Schema, options: ReadOptions, name: str) -> tuple[str, ...] | None:
    if options.group_column is None:
        return None
    with finding_group_column():
        return _resolve(schema, options.group_column, name)


def _seekable(stream: ByteStream) -> Any:
    """Memory-map the file; compressed files and pipes are copied to a temporary file.

    Of a file at a URL, the parts that are needed are read.
    """
    if stream.seekable:
        if stream.path is not None:
            return pa.memory_map(str(stream.path))
        return pa.PythonFile(stream.raw, "r")
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - closed by its reader
    while data := stream.read(_COPY_BYTES):
        copy.write(data)
    copy.seek(0)
    return pa.PythonFile(copy, "r")


def _rows(metadata: Any) -> int:
    """Return the number of rows that take about `BATCH_BYTES`."""
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    return max(1, min(1 << 16, BATCH_BYTES * max(1, metadata.num_rows) // max(1, size)))


def _leaf(file: Any, path: tuple[str, ...]) -> str:
    """Return the column name that makes Parquet read only the requested nested field."""
    field = ".".join(path)
    leaves = [file.schema.column(number).path for number in range(len(file.schema))]
    return field if any(f"{leaf}.".startswith(f"{field}.") for leaf in leaves) else path[0]


def _damage_error(name: str, kind: str, error: Exception) -> Exception:
    if isinstance(error, MlmfastError):
        return error
    return InputError(f"{name} is no whole {kind} file: {first_line(error)}.")


class TableSource:
    """An Arrow column or table, in memory or streamed."""

    name = "the table"
    size: int | None = None
    text_size: int | None = None

    def __init__(self, data: Any) -> None:
        """Read `data`, anything with `__arrow_c_stream__` or `__arrow_c_array__`."""
        self._data = data

    def pieces(self, options: ReadOptions, location: Location | None = None) -> Iterator[Piece]:
        """Yield the documents; a bare column is read whatever its name."""
        if not hasattr(self._data, "__arrow_c_stream__"):
            column = pa.chunked_array([pa.array(self._data)])
        else:
            reader = _as_reader(self._data)
            if reader is not None:
                yield from read_batches(reader.schema, reader, options, self.name)
                return
            column = pa.chunked_array(self._data)
        table = pa.table({options.text_column: column})
        yield from read_batches(table.schema, table.to_batches(), options, self.name)

    def fingerprint(self) -> dict[str, Any] | None:
        """Return None: a stream cannot be read twice."""
        return None

    def stop(self) -> None:
        """Do nothing: reading never blocks."""


def _as_reader(data: Any) -> pa.RecordBatchReader | None:
    """Return a reader of tables; None if the stream consists of bare arrays."""
    if isinstance(data, pa.ChunkedArray):
        return None
    try:
        return pa.RecordBatchReader.from_stream(data)
    except pa.ArrowInvalid:
        return None
