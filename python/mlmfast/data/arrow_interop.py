"""Converting Arrow data of any library to pyarrow, and results back to the same library.

Data is exchanged through the Arrow C data interface, without copies; only pyarrow must be
installed.
"""

from __future__ import annotations

import sys
from typing import Any

from mlmfast.errors import InputTypeError

# The column name that stands for data without columns, such as a bare array.
BARE = ""


def columns_of(data: Any) -> dict[str, Any]:
    """Return the columns of Arrow data: name -> pyarrow Array or ChunkedArray.

    Raises:
        InputTypeError: `data` is not Arrow data.
    """
    import pyarrow as pa

    if isinstance(data, pa.Array | pa.ChunkedArray):
        return {BARE: data}
    table = _table_of(data)
    if table is None:
        return {BARE: pa.chunked_array(data)}
    if len(set(table.column_names)) < table.num_columns:
        raise InputTypeError(f"two columns have the same name: {table.column_names}")
    return {name: table.column(name) for name in table.column_names}


def to_kind_of(columns: dict[str, Any], like: Any) -> Any:
    """Convert pyarrow `columns` to the kind of data that `like` is.

    For data of other libraries, the result is pyarrow data.
    """
    import pyarrow as pa

    if BARE in columns:
        column = columns[BARE]
        if isinstance(like, pa.Array):
            return column
        if isinstance(like, pa.ChunkedArray):
            return pa.chunked_array([column])
        return _polars(like).from_arrow(column).alias(like.name) if _polars(like) else column
    if isinstance(like, pa.RecordBatch):
        return pa.RecordBatch.from_pydict(columns)
    table = pa.table(columns)
    if _is_dataset(like):
        return type(like)(table)
    return _polars(like).from_arrow(table) if _polars(like) else table


def _table_of(data: Any) -> Any:
    """Return `data` as a table (or record batch); None if it is a single column."""
    import pyarrow as pa

    if isinstance(data, pa.Table | pa.RecordBatch):
        return data
    if _is_dataset(data):
        return data.with_format("arrow")[:]
    if hasattr(data, "__arrow_c_stream__"):
        try:
            return pa.RecordBatchReader.from_stream(data).read_all()
        except (pa.ArrowInvalid, TypeError, ValueError):
            return None  # the stream's arrays are not structs, so it is a single column
    if hasattr(data, "__arrow_c_array__"):
        array = pa.array(data)
        return pa.RecordBatch.from_struct_array(array) if pa.types.is_struct(array.type) else None
    raise InputTypeError(
        f"expected Arrow data or a mapping of lists, got {type(data).__name__}: give a pyarrow or "
        "polars column or table, a datasets.Dataset, or a dict of lists"
    )


def _is_dataset(data: Any) -> bool:
    datasets = sys.modules.get("datasets")
    return datasets is not None and isinstance(data, datasets.Dataset)


def _polars(data: Any) -> Any:
    """Return the polars module if `data` is a polars object, else None."""
    return sys.modules["polars"] if type(data).__module__.split(".")[0] == "polars" else None
