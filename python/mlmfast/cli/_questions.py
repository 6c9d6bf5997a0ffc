"""The texts that `fill-mask` is asked about, each with the number of its line."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.cli._question_tables import TABLES, read_rows
from mlmfast.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlmfast.data.sources.base import ReadOptions

FORMATS = ("txt", "jsonl", *TABLES)
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Given:
    """One text, or what is wrong where it should be.

    Attributes:
        line: number of the line, or of the row of a table, counted from 1.
        name: what messages call it.
        text: the text; None where there is none.
        error: what is wrong.
    """

    line: int
    name: str
    text: str | None
    error: InputError | None = None


def typed_texts(texts: Iterable[str]) -> Iterator[Given]:
    """Yield the arguments of a command, and for a `-` the lines of standard input."""
    for number, text in enumerate(texts, start=1):
        if text == "-":
            from mlmfast.data.sources.base import ReadOptions

            yield from read_file("-", "txt", ReadOptions())
        else:
            yield _given(number, f"Text {number}", text)


def read_file(name: str, kind: str | None, options: ReadOptions) -> Iterator[Given]:
    """Yield the texts of a file, or of standard input for `-`, read as `options` say.

    Blank lines are passed over.

    Raises:
        NotFoundError: there is no such file.
        InputError: nothing tells the format, a column is not there, or there is no text at all.
    """
    found = False
    for given in _read(name, kind, options):
        found = True
        yield given
    if not found:
        raise InputError(f"{_called(name)} holds no text.")


def format_of(name: str, kind: str | None) -> str:
    """Tell the format of a file by `kind`, else by its name."""
    if kind is not None:
        return kind
    if name == "-":
        return "txt"
    from mlmfast.data.sources.formats import format_of as told_by

    found = told_by(Path(name))
    if found is None:
        raise InputError(
            f"The name of {name} tells no format: say it with --format {'|'.join(FORMATS)}."
        )
    return found


def count_texts(name: str, kind: str | None) -> int | None:
    """Tell how many lines or rows a file has, where that is quickly known."""
    path, kind = Path(name), format_of(name, kind)
    if name == "-" or not path.is_file() or kind in {"arrow", "csv", "tsv"}:
        return None
    if kind == "parquet":
        import pyarrow.parquet

        return int(pyarrow.parquet.ParquetFile(path).metadata.num_rows)
    from mlmfast.data.sources.records import is_json_lines
    from mlmfast.data.sources.streams import ByteStream

    with ByteStream(name) as stream:
        if stream.compressed or (kind == "jsonl" and not is_json_lines(stream)):
            return None
    with path.open("rb") as file:
        return sum(piece.count(b"\n") for piece in iter(lambda: file.read(_PIECE), b""))


def _read(name: str, kind: str | None, options: ReadOptions) -> Iterator[Given]:
    if name != "-" and not Path(name).is_file():
        raise NotFoundError(f"There is no file {name}.")
    kind = format_of(name, kind)
    if kind in TABLES:
        yield from _table(name, kind, options)
        return
    called = _called(name)
    for number, line in enumerate(_lines(name, kind), start=1):
        where = f"Line {number} of {called}"
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            broken = InputError(f"{where} is not valid UTF-8 (byte {error.start}).")
            yield Given(number, where, None, broken)
            continue
        if not text.strip():
            continue
        if kind == "txt":
            yield Given(number, where, text)
            continue
        try:
            yield _given(number, where, _field(text, options.text_column))
        except InputError as error:
            yield Given(number, where, None, InputError(f"{where} {error}"))


def _given(number: int, where: str, text: str) -> Given:
    """Take a text, unless no file could hold it: escapes in JSON may be half a character."""
    from mlmfast.serving.text.encode import check_text

    error = check_text(text, where)
    return Given(number, where, None if error else text, error)


def _lines(name: str, kind: str) -> Iterator[bytes]:
    if name == "-":  # line by line, since somebody may be typing them
        yield from sys.stdin.buffer
        return
    from mlmfast.data.sources.records import is_json_lines, record_lines
    from mlmfast.data.sources.streams import ByteStream, whole_lines

    with ByteStream(name) as stream:
        records = kind == "jsonl" and not is_json_lines(stream)
        for _, piece in whole_lines(record_lines(stream, None) if records else stream, _PIECE):
            yield from piece.splitlines()


def _field(line: str, column: str) -> str:
    """Take the text out of one line of JSON."""
    try:
        record: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not valid JSON: {error}.") from None
    if not isinstance(record, dict):
        raise InputError('is no JSON object such as {"text": "..."}.')
    value: Any = record
    for part in [column] if column in record else column.split("."):
        if not isinstance(value, dict) or part not in value:
            raise InputError(
                f"has no field {column!r}; its fields are {', '.join(record) or 'none'}. "
                "Choose one with --text-column."
            )
        value = value[part]
    if not isinstance(value, str):
        raise InputError(f"has no text in its field {column!r}, but {json.dumps(value)[:40]}.")
    return value


def _table(name: str, kind: str, options: ReadOptions) -> Iterator[Given]:
    for number, row in enumerate(read_rows(name, kind, options), start=1):
        where = f"Row {number} of {_called(name)}"
        if row.text is None:
            yield Given(number, where, None, InputError(f"{where} {row.wrong}."))
        else:
            yield Given(number, where, row.text)


def _called(name: str) -> str:
    return "standard input" if name == "-" else name
