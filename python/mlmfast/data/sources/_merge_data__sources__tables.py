"""Arrow columns and tables as a source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from mlmfast.data.sources.base import Piece, Place, ReadOptions
from mlmfast.data.sources.columnar import read_batches


class TableSource:
    """An Arrow column or table that is in memory or comes as a stream."""

    name = "the table"
    size: int | None = None

    def __init__(self, data: Any) -> None:
        """Read `data`, anything with `__arrow_c_stream__` or `__arrow_c_array__`."""
        self._data = data

    def pieces(self, options: ReadOptions, place: Place | None = None) -> Iterator[Piece]:
        """Yield the documents; a column of texts needs no name."""
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
        """None: a stream is gone once it is read."""
        return None

    def stop(self) -> None:
        """Reading never waits."""


def _as_reader(data: Any) -> pa.RecordBatchReader | None:
    """Return a stream of tables, or None where the stream is one of bare columns."""
    if isinstance(data, pa.ChunkedArray):
        return None
    try:
        return pa.RecordBatchReader.from_stream(data)
    except pa.ArrowInvalid:
        return None
