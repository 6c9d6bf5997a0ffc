"""JSON lines: every line is an object, one field of it is the document."""

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
from mlmfast.data.sources.base import Piece, Place, ReadOptions, resolve_column
from mlmfast.data.sources.csv import large_binary
from mlmfast.data.sources.json_fields import NotTextError, has_field, text_at
from mlmfast.data.sources.records import is_json_lines, record_lines
from mlmfast.data.sources.streams import ByteStream, whole_lines
from mlmfast.data.sources.txt import count_lines
from mlmfast.data.sources.utf8 import column_text, decoded, whole_characters
from mlmfast.errors import InputError

logger = logging.getLogger(__name__)
_KINDS = {bool: "true or false", int: "a number", float: "a number", dict: "an object"}


def read_jsonl(
    stream: ByteStream, options: ReadOptions, place: Place | None = None
) -> Iterator[Piece]:
    """Yield the documents of a file of JSON lines, or of other JSON that `record_lines` makes such.

    The core reads whole pieces whose field is a string or null, Arrow's parser those with lists on
    the way to it. A piece that they refuse, or whose field has several types, is read again line by
    line with Python's parser, which knows the number of the line at fault.

    Raises:
        InputError: A line is no JSON object, the column is nowhere in the first piece, or what
            it holds is no text.
    """
    unit = "line"
    lines_of = stream
    if options.json_field is not None or not is_json_lines(stream):
        unit, lines_of = "record", record_lines(stream, options.json_field)
    number: int = place["line"] if place else 1
    path: tuple[str, ...] | None = tuple(place["path"]) if place else None
    kind: pa.DataType | None = None
    start, stop = (place["offset"], place.get("stop")) if place else (0, None)
    for offset, chunk in whole_lines(lines_of, options.batch_bytes, start=start, stop=stop):
        lines = _Lines(stream.name, chunk, number, unit)
        if path is None:
            path = _find_column(lines, options.text_column)
        if kind is None and path is not None:
            kind = _first_type(lines, path)
        if path is not None:
            here = {"offset": offset, "line": number, "path": list(path)}
            yield Piece(partial(_documents, lines, path, kind), here, stream.position)
        number += count_lines(chunk)
    if place is None and number == 2 and kind is not None and not _is_plain(kind):
        logger.warning(
            "%s holds one record, whose column %r is a list: it becomes one document. If each of "
            "its elements is to be one, use --json-field (json_field=...) for the list, and "
            "--text-column for what its elements hold.",
            stream.name,
            options.text_column,
        )


def _documents(
    lines: _Lines, path: tuple[str, ...], kind: pa.DataType | None, options: ReadOptions
) -> pa.Array:
    found = _strings(lines, path) if kind is None or _is_plain(kind) else None
    if found is None and kind is not None:
        found = _parse(lines, path, kind)
    if found is None:
        texts = (
            _text(record, path, lines, line, options) for line, record in lines.records(options)
        )
        found = pa.array(texts, pa.large_string())
    return found


class _Lines:
    """A piece of the file and the number of its first line."""

    def __init__(self, name: str, data: bytes, first: int, unit: str) -> None:
        self.name = name
        self.data = data
        self.first = first
        self.unit = unit

    def where(self, line: int) -> str:
        return f"{self.name}, {self.unit} {line:,}"

    def records(self, options: ReadOptions | None) -> Iterator[tuple[int, dict | None]]:
        """Yield the number and the object of every line that is not blank.

        Without options, lines that are no JSON objects are passed over.
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
                raise InputError(f"{self.where(line)}: {_broken(error)}") from None
            if isinstance(record, dict):
                yield line, record
            elif options is not None:
                raise InputError(
                    f"{self.where(line)}: every {self.unit} must be a JSON object such as "
                    f'{{"text": "..."}}; this one begins with {text.strip()[:20]!r}.'
                )


def _broken(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"broken JSON: {error.msg} at position {error.pos + 1}."
    return f"broken JSON: {error}."


def _find_column(lines: _Lines, text_column: str) -> tuple[str, ...] | None:
    """Find the way to the column; None if the piece holds blank or broken lines alone."""
    names: dict[str, None] = {}
    texts: dict[str, None] = {}
    for _, record in lines.records(None):
        path = resolve_column(list(record or ()), text_column)
        if path is not None and has_field(record, path):
            return path
        names.update(dict.fromkeys(_leaf_names(record or {})))
        texts.update((key, None) for key, value in (record or {}).items() if isinstance(value, str))
    # A broken line is the likelier fault than a column that no line has, and comes first.
    for _ in lines.records(_lenient()):
        pass
    if names:
        raise unknown_column(lines.name, text_column, list(names), texts)
    return None


def _lenient() -> ReadOptions:
    return ReadOptions(on_invalid_utf8="replace")


def _leaf_names(record: dict[str, Any], prefix: str = "") -> list[str]:
    names = []
    for key, found in record.items():
        inner = found[0] if isinstance(found, list) and found else found
        nested = isinstance(inner, dict) and inner
        names += _leaf_names(inner, f"{prefix}{key}.") if nested else [prefix + key]
    return names


def _first_type(lines: _Lines, path: tuple[str, ...]) -> pa.DataType | None:
    """Return the Arrow type of the path's first field, as the first records show it."""
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


def _is_plain(kind: pa.DataType) -> bool:
    """Whether only objects lie on the way to the text."""
    return _is_plain(kind.field(0).type) if pa.types.is_struct(kind) else pa.types.is_string(kind)


def _strings(lines: _Lines, path: tuple[str, ...]) -> pa.Array | None:
    """Parse a piece with the core; None where another parser must decide."""
    found = json_strings(lines.data, path)
    if found is None:
        return None
    return large_binary(*found).view(pa.large_string())


def _parse(lines: _Lines, path: tuple[str, ...], kind: pa.DataType) -> pa.Array | None:
    """Parse a piece with Arrow; None where it refuses, or would read something else."""
    data = lines.data
    if len(data) >= 1 << 31:
        return None
    try:
        table = pyarrow.json.read_json(
            pa.BufferReader(data),
            # One block, so that a line never lies in two.
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
        lenient = _lenient()
        texts = column_text(column, path[1:], lenient, lines.name, str)
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return None
    return None if lenient.replaced else texts


def _object_lines(data: bytes) -> int:
    """How many lines there are if each begins with { and ends with }, else -1.

    As many objects as such lines: then every line is one object. Where lines are blank, or hold
    two objects, or an object lies over several, the careful way decides.
    """
    codes = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(codes == ord("\n"))
    if not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    starts = np.append(0, ends[:-1] + 1)
    last = ends - 1 - (codes[ends - 1] == ord("\r"))
    framed = (codes[starts] == ord("{")) & (codes[last] == ord("}"))
    return len(ends) if framed.all() else -1


def _text(
    record: dict | None, path: tuple[str, ...], lines: _Lines, line: int, options: ReadOptions
) -> str | None:
    try:
        text = text_at(record, path)
    except NotTextError as error:
        value = error.value
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
    return whole_characters(text, options, lambda: lines.where(line))
