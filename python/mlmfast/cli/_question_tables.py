"""Questions for `fill-mask` in the rows of a table: Parquet, Arrow, CSV, TSV."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlmfast.data.sources.base import Piece, ReadOptions

TABLES = ("parquet", "arrow", "csv", "tsv")


@dataclass(frozen=True, slots=True)
class Row:
    """A row's text, or what is wrong where it should be."""

    text: str | None
    wrong: str = ""


def read_rows(name: str, kind: str, options: ReadOptions) -> Iterator[Row]:
    """Yield the rows of a table, read as `mlmfast prepare` reads it.

    Raises:
        InputError: There is no such column, or the file is damaged.
    """
    from mlmfast.data.sources.files import FileSource

    options = replace(options, on_invalid_utf8="skip")
    for piece in FileSource(name, kind).pieces(options):
        yield from _rows(piece, options)


def _rows(piece: Piece, options: ReadOptions) -> Iterator[Row]:
    reading = replace(options, skipped=0)
    texts = piece.decode(reading)
    whole = texts
    if reading.skipped:
        whole = piece.decode(replace(options, on_invalid_utf8="replace"))
    column = options.text_column
    for text, replaced in zip(texts.to_pylist(), whole.to_pylist(), strict=True):
        if text is not None:
            yield Row(text)
        elif replaced is None:
            yield Row(None, f"has no text in its column {column!r}")
        else:
            yield Row(None, f"is not valid UTF-8 in its column {column!r}")
