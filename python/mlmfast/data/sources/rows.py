"""Documents one at a time, each with the line or row it comes from and what is wrong with it.

`prepare` reads in bulk and stops at a document that it cannot use; `fill-mask` answers text by
text, and may skip a bad one. Both read the same formats by the same rules: this module goes over
the streams, lines and tables that the other modules of this package read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.data.sources.base import resolve_column
from mlmfast.data.sources.readers.json_fields import NotTextError, has_field, text_at

if TYPE_CHECKING:
    from mlmfast.data.sources.archives import ArchiveSource
    from mlmfast.data.sources.base import Piece, ReadOptions
    from mlmfast.data.sources.byte_streams.streams import ByteStream
    from mlmfast.data.sources.files import FileSource

LINE_FORMATS = ("txt", "jsonl")
"""The formats of which every line is a document."""
_PIECE_BYTES = 1 << 20
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Row:
    """One document.

    Attributes:
        number: Its line in a text, or its row in a table, counted from 1.
        where: What messages call it, such as "Line 3 of a.txt".
        text: The document; None where there is none.
        problem: Why there is none, to follow `where` in a sentence.
    """

    number: int
    where: str
    text: str | None
    problem: str = ""


def source_rows(source: FileSource | ArchiveSource, options: ReadOptions) -> Iterator[Row]:
    """Yield the documents of a file, or of all files of an archive; blank lines are passed over.

    Raises:
        InputError: A table has no such column, or a file is damaged.
    """
    for stream, kind in source.streams():
        if kind not in LINE_FORMATS:
            yield from _table_rows(stream, kind, options)
        elif kind == "jsonl" and not _is_json_lines(stream, options):
            from mlmfast.data.sources.readers.records import record_lines

            records = _lines(record_lines(stream, options.json_field))
            yield from line_rows(records, stream.name, kind, options.text_column, unit="Record")
        else:
            lines = _lines(stream, carriage_returns=kind == "txt")
            yield from line_rows(lines, stream.name, kind, options.text_column)


def line_rows(
    lines: Iterable[bytes], name: str, kind: str, text_column: str, *, unit: str = "Line"
) -> Iterator[Row]:
    """Yield the documents of lines of text or of JSON; blank ones are passed over.

    Args:
        lines: The lines, with or without their line ends.
        name: What messages call the file.
        kind: One of `LINE_FORMATS`.
        text_column: The field of a JSON object that holds the text.
        unit: What messages call a line.
    """
    for number, line in enumerate(lines, start=1):
        where = f"{unit} {number} of {name}"
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            yield Row(number, where, None, f"is not valid UTF-8 (byte {error.start})")
            continue
        if not text.strip():
            continue
        if kind == "txt":
            yield Row(number, where, text)
        else:
            yield Row(number, where, *_json_text(text, text_column))


def count_rows(source: FileSource | ArchiveSource) -> int | None:
    """Return about how many documents a source has, where that is quickly known, else None."""
    from mlmfast.data.sources.files import FileSource

    if not isinstance(source, FileSource) or not source.regular or source.remote is not None:
        return None
    if source.kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return int(pq.read_metadata(source.name).num_rows)
        except (pa.ArrowException, OSError):
            return None  # reading the file raises the error that says what is wrong
    if source.kind not in LINE_FORMATS:
        return None
    from mlmfast.data.sources.readers.records import is_json_lines

    for stream, kind in source.streams():
        if stream.compressed or (kind == "jsonl" and not is_json_lines(stream)):
            return None
    with Path(source.name).open("rb") as file:
        return sum(piece.count(b"\n") for piece in iter(lambda: file.read(_PIECE_BYTES), b""))


def _is_json_lines(stream: ByteStream, options: ReadOptions) -> bool:
    from mlmfast.data.sources.readers.records import is_json_lines

    return options.json_field is None and is_json_lines(stream)


def _lines(stream: ByteStream, *, carriage_returns: bool = False) -> Iterator[bytes]:
    from mlmfast.data.sources.byte_streams.streams import whole_lines

    for _, piece in whole_lines(stream, _PIECE_BYTES, carriage_returns=carriage_returns):
        yield from (
            piece.splitlines() if carriage_returns else piece.removesuffix(b"\n").split(b"\n")
        )


def _json_text(line: str, text_column: str) -> tuple[str | None, str]:
    """Return the text of one JSON object, or None and what is wrong with the object."""
    try:
        record: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        return None, f"is not valid JSON: {error}"
    if not isinstance(record, dict):
        return None, 'is no JSON object such as {"text": "..."}'
    path = resolve_column(list(record), text_column)
    if path is None or not has_field(record, path):
        return None, (
            f"has no field {text_column!r}; its fields are {', '.join(record) or 'none'}. "
            "Choose one with --text-column"
        )
    try:
        text = text_at(record, path)
    except NotTextError as error:
        shown = json.dumps(error.value, ensure_ascii=False)[:_SHOWN_CHARACTERS]
    else:
        if text is not None:
            return text, ""
        shown = "null"
    return None, f"has no text in its field {text_column!r}, but {shown}"


def _table_rows(stream: ByteStream, kind: str, options: ReadOptions) -> Iterator[Row]:
    from mlmfast.data.sources.formats import read_stream

    number = 0
    skipping = replace(options, on_invalid_utf8="skip")
    for piece in read_stream(stream, kind, skipping):
        for text, problem in _texts(piece, skipping):
            number += 1
            yield Row(number, f"Row {number} of {stream.name}", text, problem)


def _texts(piece: Piece, options: ReadOptions) -> Iterator[tuple[str | None, str]]:
    reading = replace(options, skipped=0)
    texts = piece.decode(reading)
    # Nulls stand for invalid UTF-8 as well; a second reading tells them apart.
    repaired = texts
    if reading.skipped:
        repaired = piece.decode(replace(options, on_invalid_utf8="replace"))
    column = options.text_column
    for text, other in zip(texts.to_pylist(), repaired.to_pylist(), strict=True):
        if text is not None:
            yield text, ""
        elif other is None:
            yield None, f"has no text in its column {column!r}"
        else:
            yield None, f"is not valid UTF-8 in its column {column!r}"
