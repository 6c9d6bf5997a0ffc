"""Parquet files and Arrow IPC files and streams (feather included)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlmfast.data.sources.base import BATCH_BYTES, resolve_column, unknown_column
from mlmfast.data.sources.nested import column_text, leaf_names
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.data.sources.base import ReadOptions
    from mlmfast.data.sources.bytes import ByteStream


def read_parquet(stream: ByteStream, options: ReadOptions) -> Iterator[pa.Array]:
    """Yield the documents of a Parquet file; only the column's own pages are read."""
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(_seekable(stream))
        path = _resolve(file.schema_arrow, options.text_column, stream.name)
        yield from _documents(
            file.iter_batches(batch_size=_rows(file.metadata), columns=[_leaf(file, path)]),
            path,
            options,
            stream.name,
        )
    except (pa.ArrowException, OSError) as error:
        raise _damaged(stream.name, "Parquet", error) from error


def read_arrow(stream: ByteStream, options: ReadOptions) -> Iterator[pa.Array]:
    """Yield the documents of an Arrow IPC file or stream."""
    try:
        source = _seekable(stream)
        is_file = source.read(6) == b"ARROW1"
        source.seek(0)
        if is_file:
            file = pa.ipc.open_file(source)
            schema: pa.Schema = file.schema
            batches = (file.get_batch(number) for number in range(file.num_record_batches))
        else:
            batches = pa.ipc.open_stream(source)
            schema = batches.schema
        path = _resolve(schema, options.text_column, stream.name)
        yield from _documents(batches, path, options, stream.name)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(stream.name, "Arrow", error) from error


def read_batches(
    schema: pa.Schema, batches: Any, options: ReadOptions, name: str
) -> Iterator[pa.Array]:
    """Yield the documents of record batches that are in memory or made as they are asked for."""
    path = _resolve(schema, options.text_column, name)
    return _documents(batches, path, options, name)


def _resolve(schema: pa.Schema, text_column: str, name: str) -> tuple[str, ...]:
    path = resolve_column(schema.names, text_column)
    if path is None:
        raise unknown_column(name, text_column, leaf_names(list(schema)))
    return path


def _documents(
    batches: Any, path: tuple[str, ...], options: ReadOptions, name: str
) -> Iterator[pa.Array]:
    first = 1
    for batch in batches:
        column = batch.column(path[0])
        for array in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
            where = _row_namer(name, first)
            yield column_text(array, path[1:], options, name, where)
            first += len(array)


def _row_namer(name: str, first: int) -> Callable[[int], str]:
    return lambda row: f"{name}, row {first + row:,}"


def _seekable(stream: ByteStream) -> Any:
    """Return the file, mapped; what is packed or comes through a pipe is read into memory."""
    if stream.path is None or stream.compressed:
        return pa.BufferReader(stream.read())
    return pa.memory_map(str(stream.path))


def _rows(metadata: Any) -> int:
    """Return how many rows hold about a batch of bytes."""
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    return max(1, min(1 << 16, BATCH_BYTES * max(1, metadata.num_rows) // max(1, size)))


def _leaf(file: Any, path: tuple[str, ...]) -> str:
    """Return the name by which only the wanted part of a nested column is read."""
    wanted = ".".join(path)
    leaves = [file.schema.column(number).path for number in range(len(file.schema))]
    return wanted if any(f"{leaf}.".startswith(f"{wanted}.") for leaf in leaves) else path[0]


def _damaged(name: str, kind: str, error: Exception) -> Exception:
    if isinstance(error, InputError):
        return error
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return InputError(f"{name} is no whole {kind} file: {reason}.")
