"""The rows of data sets of the `datasets` library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from mlmfast.data.sources.base import Piece, Place, resolve_column
from mlmfast.data.sources.columnar import read_batches
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.data.sources.base import ReadOptions

ROWS = 1000
"""Rows that are read together."""


class DatasetSource:
    """The rows of a `datasets.Dataset`, with its selections and shuffles."""

    def __init__(self, name: str, dataset: Any, column: str | None = None) -> None:
        """Read `dataset`, which messages call `name`; `column` goes before the options' one."""
        self.name = name
        self.size: int | None = dataset.num_rows
        self._dataset = dataset
        self._column = column

    def pieces(self, options: ReadOptions, place: Place | None = None) -> Iterator[Piece]:
        """Yield the documents; only the column's own data is read."""
        dataset, options = self._dataset, _about(options, self._column)
        path = resolve_column(dataset.column_names, options.text_column)
        if path is not None:
            dataset = dataset.select_columns([path[0]])
        schema = dataset.features.arrow_schema
        first = place["row"] if place else 0
        rows = dataset.num_rows
        stop = place.get("stop", rows) if place else rows
        if first or stop < rows:
            dataset = dataset.select(range(first, stop))
        tables = dataset.with_format("arrow").iter(batch_size=ROWS)
        return read_batches(schema, tables, options, self.name, rows=rows, first=first)

    def fingerprint(self) -> dict[str, Any] | None:
        """The library's own fingerprint, which names the content."""
        own = getattr(self._dataset, "_fingerprint", None)
        return {"name": self.name, "rows": self.size, "fingerprint": own} if own else None

    def stop(self) -> None:
        """Reading never waits."""


class StreamedSource:
    """The rows of a `datasets.IterableDataset`, in memory a few at a time."""

    size: int | None = None

    def __init__(self, name: str, dataset: Any, column: str | None = None) -> None:
        """Read `dataset`, which messages call `name`; `column` goes before the options' one."""
        self.name = name
        self._dataset = dataset
        self._column = column

    def pieces(self, options: ReadOptions, place: Place | None = None) -> Iterator[Piece]:
        """Yield the documents; they can be read from the beginning only."""
        options = _about(options, self._column)
        tables = iter(self._dataset.with_format("arrow").iter(batch_size=ROWS))
        first = next(tables, None)
        if first is None:
            raise InputError(f"{self.name} is empty.")
        # What was streamed row by row comes in chunks of a row each.
        wanted = _only(first, options.text_column)
        batches = (wanted(table).combine_chunks() for table in chain([first], tables))
        return read_batches(first.schema, batches, options, self.name)

    def fingerprint(self) -> dict[str, Any] | None:
        """None: what a stream holds is not known before it is read."""
        return None

    def stop(self) -> None:
        """Reading ends behind the rows at hand."""


def is_dataset_column(data: Any) -> bool:
    """Whether this is a `Column` or an `IterableColumn` of `datasets`."""
    return hasattr(data, "column_name") and hasattr(data, "source")


def dataset_and_column(data: Any) -> tuple[Any, str | None]:
    """Return a data set, and of a column (of a column) of one its dotted name."""
    names: list[str] = []
    while is_dataset_column(data):
        names.insert(0, data.column_name)
        data = data.source
    return data, ".".join(names) or None


def _only(table: Any, text_column: str) -> Callable[[Any], Any]:
    """Return what takes the text's column out of a table, or all where there is none."""
    path = resolve_column(table.column_names, text_column)
    return lambda table: table if path is None else table.select([path[0]])


def _about(options: ReadOptions, column: str | None) -> ReadOptions:
    return options if column is None else replace(options, text_column=column)
