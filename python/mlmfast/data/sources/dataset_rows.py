"""The rows of `datasets` data sets as sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from mlmfast.data.sources.base import Location, Piece, resolve_column
from mlmfast.data.sources.readers.columnar import read_batches
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.data.sources.base import ReadOptions

ROWS = 1000
"""Number of rows read at a time."""


class DatasetSource:
    """The rows of a `datasets.Dataset`, with its selections and shuffles."""

    text_size: int | None = None

    def __init__(self, name: str, dataset: Any, column: str | None = None) -> None:
        """Read `dataset`, which messages call `name`; `column` overrides the options' one."""
        self.name = name
        self.size: int | None = dataset.num_rows
        self._dataset = dataset
        self._column = column

    def pieces(self, options: ReadOptions, location: Location | None = None) -> Iterator[Piece]:
        """Yield the documents; only the column's data is read."""
        dataset, options = self._dataset, _with_column(options, self._column)
        names = _columns(dataset.column_names, options)
        if names is not None:
            dataset = dataset.select_columns(names)
        schema = dataset.features.arrow_schema
        first = location["row"] if location else 0
        rows = dataset.num_rows
        stop = location.get("stop", rows) if location else rows
        if first or stop < rows:
            dataset = dataset.select(range(first, stop))
        tables = dataset.with_format("arrow").iter(batch_size=ROWS)
        return read_batches(schema, tables, options, self.name, rows=rows, first=first)

    def fingerprint(self) -> dict[str, Any] | None:
        """Return the library's own fingerprint, which identifies the content."""
        own = getattr(self._dataset, "_fingerprint", None)
        return {"name": self.name, "rows": self.size, "fingerprint": own} if own else None

    def class_names(self, column: str) -> list[str] | None:
        """Return the names of a `ClassLabel` column's numbers; None for other columns."""
        return _class_names(self._dataset, column)

    def stop(self) -> None:
        """Do nothing: reading never blocks."""


class StreamedSource:
    """The rows of a `datasets.IterableDataset`, of which only a few are in memory at a time."""

    size: int | None = None
    text_size: int | None = None

    def __init__(self, name: str, dataset: Any, column: str | None = None) -> None:
        """Read `dataset`, which messages call `name`; `column` overrides the options' one."""
        self.name = name
        self._dataset = dataset
        self._column = column

    def pieces(self, options: ReadOptions, location: Location | None = None) -> Iterator[Piece]:
        """Yield the documents, always from the start of the stream."""
        options = _with_column(options, self._column)
        tables = iter(self._dataset.with_format("arrow").iter(batch_size=ROWS))
        first = next(tables, None)
        if first is None:
            raise InputError(f"{self.name} is empty.")
        # A data set that streams row by row gives chunks of one row each.
        select = _column_selector(first, options)
        batches = (select(table).combine_chunks() for table in chain([first], tables))
        return read_batches(first.schema, batches, options, self.name)

    def fingerprint(self) -> dict[str, Any] | None:
        """Return None: the content of a stream is unknown before it is read."""
        return None

    def class_names(self, column: str) -> list[str] | None:
        """Return the names of a `ClassLabel` column's numbers; None for other columns."""
        return _class_names(self._dataset, column)

    def stop(self) -> None:
        """Do nothing: reading ends after the current rows."""


def _class_names(dataset: Any, column: str) -> list[str] | None:
    names = getattr((dataset.features or {}).get(column), "names", None)
    return None if names is None else list(names)


def is_dataset_column(data: Any) -> bool:
    """Whether this is a `Column` or an `IterableColumn` of `datasets`."""
    return hasattr(data, "column_name") and hasattr(data, "source")


def dataset_and_column(data: Any) -> tuple[Any, str | None]:
    """Return the data set of `data`, and the dotted name if `data` is a (nested) column of it."""
    names: list[str] = []
    while is_dataset_column(data):
        names.insert(0, data.column_name)
        data = data.source
    return data, ".".join(names) or None


def _columns(names: list[str], options: ReadOptions) -> list[str] | None:
    """Return the columns to read; None, which is all, if one that is needed is missing."""
    needed = [options.text_column, options.group_column]
    paths = [resolve_column(names, name) for name in needed if name is not None]
    found = {path[0]: None for path in paths if path is not None}
    return None if None in paths else list(found)


def _column_selector(table: Any, options: ReadOptions) -> Callable[[Any], Any]:
    """Return a function that selects the needed columns of a table; all if one is missing."""
    names = _columns(table.column_names, options)
    return lambda table: table if names is None else table.select(names)


def _with_column(options: ReadOptions, column: str | None) -> ReadOptions:
    return options if column is None else replace(options, text_column=column)
