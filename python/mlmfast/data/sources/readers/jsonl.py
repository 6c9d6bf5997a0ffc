"""JSON lines: every line is an object, and one of its fields is the document."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json

from mlmfast._core import json_strings
from mlmfast.data.arrow_text import unknown_column
from mlmfast.data.sources.base import Groups, Location, Piece, ReadOptions, resolve_column
from mlmfast.data.sources.byte_streams.streams import ByteStream, whole_lines
from mlmfast.data.sources.group_column import finding_group_column
from mlmfast.data.sources.readers.csv import large_binary
from mlmfast.data.sources.readers.json_fields import NotTextError, has_field, text_at
from mlmfast.data.sources.readers.records import is_json_lines, record_lines
from mlmfast.data.sources.readers.txt import count_lines
from mlmfast.data.sources.readers.utf8 import column_text, decoded, without_surrogates
from mlmfast.errors import InputError

logger = logging.getLogger(__name__)
_KINDS = {bool: "true or false", int: "a number", float: "a number", dict: "an object"}


def read_jsonl(
    stream: ByteStream, options: ReadOptions, location: Location | None = None
) -> Iterator[Piece]:
    """Yield the documents of JSON lines, or of other JSON that `record_lines` converts to them.

    The core parses pieces whose field is a string or null, Arrow's parser those with lists on the
    path to the field. If they reject a piece, or its field has several types, Python's parser reads
    the piece again line by line, so that errors name the line.

    Raises:
        InputError: A line is not a JSON object, the column does not occur in the first piece, or a
            value is not text.
    """
    unit = "line"
    line_stream = stream
    if options.json_field is not None or not is_json_lines(stream):
        unit, line_stream = "record", record_lines(stream, options.json_field)
    number: int = location["line"] if location else 1
    path: tuple[str, ...] | None = tuple(location["path"]) if location else None
    kind: pa.DataType | None = None
    group = _GroupColumn(options.group_column, location)
    start, stop = (location["offset"], location.get("stop")) if location else (0, None)
    for offset, chunk in whole_lines(line_stream, options.batch_bytes, start=start, stop=stop):
        lines = _Lines(stream.name, chunk, number, unit)
        if path is None:
            path = _find_column(lines, options.text_column)
        if kind is None and path is not None:
            kind = _first_type(lines, path)
        if path is not None:
            here = {"offset": offset, "line": number, "path": list(path)}
            groups = group.of(lines)
            if group.path is not None:
                here["group_path"] = list(group.path)
            yield Piece(partial(_documents, lines, path, kind), here, stream.position, groups)
        number += count_lines(chunk)
    if location is None and number == 2 and kind is not None and not _has_no_lists(kind):
        logger.warning(
            "%s holds one record, whose column %r is a list: it becomes one document. If each of "
            "its elements is to be one, use --json-field (json_field=...) for the list, and "
            "--text-column for what its elements hold.",
            stream.name,
            options.text_column,
        )


class _GroupColumn:
    """The column of a file by which documents are grouped, found in the first piece."""

    def __init__(self, column: str | None, location: Location | None) -> None:
        self._column = column
        self.path = tuple(location["group_path"]) if column and location else None
        self._kind: pa.DataType | None = None

    def of(self, lines: _Lines) -> Groups | None:
        if self._column is None:
            return None
        if self.path is None:
            with finding_group_column():
                self.path = _find_column(lines, self._column)
        if self.path is None:
            return None
        if self._kind is None:
            self._kind = _first_type(lines, self.path)
        return Groups(partial(_documents, lines, self.path, self._kind), lines.where_record)


def _documents(
    lines: _Lines, path: tuple[str, ...], kind: pa.DataType | None, options: ReadOptions
) -> pa.Array:
    documents = _parse_with_core(lines, path) if kind is None or _has_no_lists(kind) else None
    if documents is None and kind is not None:
        documents = _parse_with_arrow(lines, path, kind)
    if documents is None:
        texts = (
            _text(record, path, lines, line, options) for line, record in lines.records(options)
        )
        documents = pa.array(texts, pa.large_string())
    return documents


class _Lines:
    """A piece of the file with the number of its first line."""

    def __init__(self, name: str, data: bytes, first: int, unit: str) -> None:
        self.name = name
        self.data = data
        self.first = first
        self.unit = unit

    def where(self, line: int) -> str:
        return f"{self.name}, {self.unit} {line:,}"

    def where_record(self, row: int) -> str:
        """Return what messages call a record, by its number in the piece from 0 on."""
        written = (line for line, data in enumerate(self.data.split(b"\n")) if data.strip())
        return self.where(self.first + next(islice(written, row, None)))

    def records(self, options: ReadOptions | None) -> Iterator[tuple[int, dict | None]]:
        """Yield the line number and the object of every line that is not blank.

        Without options, lines that are not JSON objects are skipped.
        """
        for line, data in enumerate(self.data.split(b"\n"), self.first):
            if not data.strip():
                continue
            text = (
                data.decode(errors="replace")
                if options is None
                else decoded(data, options, partial(self.where, line))
            )
            if text is None:
                yield line, None
                continue
            try:
                record = json.loads(text)
            except (ValueError, RecursionError) as error:
                if options is None:
                    continue
                raise InputError(f"{self.where(line)}: {_syntax_error(error)}") from None
            if isinstance(record, dict):
                yield line, record
            elif options is not None:
                raise InputError(
                    f"{self.where(line)}: every {self.unit} must be a JSON object such as "
                    f'{{"text": "..."}}; this one begins with {text.strip()[:20]!r}.'
                )


def _syntax_error(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"broken JSON: {error.msg} at position {error.pos + 1}."
    return f"broken JSON: {error}."


def _find_column(lines: _Lines, text_column: str) -> tuple[str, ...] | None:
    """Find the path to the column; None if all lines of the piece are blank or broken."""
    names: dict[str, None] = {}
    texts: dict[str, None] = {}
    for _, record in lines.records(None):
        path = resolve_column(list(record or ()), text_column)
        if path is not None and has_field(record, path):
            return path
        names.update(dict.fromkeys(_leaf_names(record or {})))
        texts.update((key, None) for key, value in (record or {}).items() if isinstance(value, str))
    # A broken line is more likely the cause than a missing column, so it is reported first.
    for _ in lines.records(_lenient()):
        pass
    if names:
        raise unknown_column(lines.name, text_column, list(names), texts)
    return None


def _lenient() -> ReadOptions:
    return ReadOptions(on_invalid_utf8="replace")


def _leaf_names(record: dict[str, Any], prefix: str = "") -> list[str]:
    names = []
    for key, value in record.items():
        inner = value[0] if isinstance(value, list) and value else value
        nested = isinstance(inner, dict) and inner
        names += _leaf_names(inner, f"{prefix}{key}.") if nested else [prefix + key]
    return names


def _first_type(lines: _Lines, path: tuple[str, ...]) -> pa.DataType | None:
    """Return the Arrow type of the path's first field, inferred from the first records."""
    for _, record in islice(lines.records(None), 1000):
        kind = _type_of(record, path)
        if kind is not None:
            return kind.field(0).type
    return None


def _type_of(value: Any, path: tuple[str, ...]) -> pa.DataType | None:
    if isinstance(value, str) and not path:
        return pa.string()
    if isinstance(value, list):
        kinds = (_type_of(item, path) for item in value)
        kind = next((kind for kind in kinds if kind is not None), None)
        return None if kind is None else pa.list_(kind)
    if isinstance(value, dict) and path:
        kind = _type_of(value.get(path[0]), path[1:])
        return None if kind is None else pa.struct([(path[0], kind)])
    return None


def _has_no_lists(kind: pa.DataType) -> bool:
    """Whether the path to the text leads through objects only, without lists."""
    return (
        _has_no_lists(kind.field(0).type) if pa.types.is_struct(kind) else pa.types.is_string(kind)
    )


def _parse_with_core(lines: _Lines, path: tuple[str, ...]) -> pa.Array | None:
    """Parse a piece with the core; None if another parser must read it."""
    buffers = json_strings(lines.data, path)
    if buffers is None:
        return None
    return large_binary(*buffers).view(pa.large_string())


def _parse_with_arrow(lines: _Lines, path: tuple[str, ...], kind: pa.DataType) -> pa.Array | None:
    """Parse a piece with Arrow; None if Arrow rejects it or could misread it."""
    data = lines.data
    if len(data) >= 1 << 31:
        return None
    try:
        table = pyarrow.json.read_json(
            pa.BufferReader(data),
            # A single block, so that no line is split.
            pyarrow.json.ReadOptions(use_threads=False, block_size=len(data) + 1),
            pyarrow.json.ParseOptions(
                explicit_schema=pa.schema([(path[0], kind)]), unexpected_field_behavior="ignore"
            ),
        )
        column = table.column(path[0]).combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks)
        if len(column) != _object_lines(data):
            return None
        lenient_options = _lenient()
        texts = column_text(column, path[1:], lenient_options, lines.name, str)
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return None
    return None if lenient_options.replaced else texts


def _object_lines(data: bytes) -> int:
    """Return the number of lines if each begins with { and ends with }, else -1.

    If it equals the number of objects, every line is one object. Otherwise (blank lines, several
    objects on a line, an object over several lines), the slower parser must read the piece.
    """
    codes = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(codes == ord("\n"))
    if not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    starts = np.append(0, ends[:-1] + 1)
    last = ends - 1 - (codes[ends - 1] == ord("\r"))
    delimited = (codes[starts] == ord("{")) & (codes[last] == ord("}"))
    return len(ends) if delimited.all() else -1


def _text(
    record: dict | None, path: tuple[str, ...], lines: _Lines, line: int, options: ReadOptions
) -> str | None:
    try:
        text = text_at(record, path)
    except NotTextError as error:
        value = error.value
        if options.numbers_as_text and isinstance(value, int | float):
            return json.dumps(value)
        shown = json.dumps(value, ensure_ascii=False)
        hint = (
            f" Name one of its fields, such as '{options.text_column}.{next(iter(value))}'."
            if isinstance(value, dict) and value
            else ""
        )
        raise InputError(
            f"{lines.where(line)}: the column {options.text_column!r} holds "
            f"{_KINDS.get(type(value), 'a string')} ({shown[:40]}), not text.{hint}"
        ) from None
    if text is None:
        return None
    return without_surrogates(text, options, lambda: lines.where(line))
