"""The texts that `fill-mask` is asked about, each with the number of its line."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FORMATS = ("txt", "jsonl", "parquet")
_SUFFIXES = {
    ".txt": "txt",
    ".text": "txt",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Given:
    """One text, or what is wrong where it should be.

    Attributes:
        line: number of the line, or of the row of a Parquet file, counted from 1.
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
            yield from read_file("-", "txt", "")
        else:
            yield _given(number, f"Text {number}", text)


def read_file(name: str, kind: str | None, column: str) -> Iterator[Given]:
    """Yield the texts of a file, or of standard input for `-`.

    Blank lines are passed over.

    Raises:
        NotFoundError: there is no such file.
        InputError: nothing tells the format, a column is not there, or there is no text at all.
    """
    found = False
    for given in _read(name, kind, column):
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
    suffix = Path(name.removesuffix(".gz").removesuffix(".zst")).suffix.lower()
    if suffix not in _SUFFIXES:
        raise InputError(
            f"The name of {name} tells no format: say it with --format {'|'.join(FORMATS)}."
        )
    return _SUFFIXES[suffix]


def count_texts(name: str, kind: str | None) -> int | None:
    """Tell how many lines or rows a file has, where that is quickly known."""
    path = Path(name)
    if name == "-" or not path.is_file() or path.suffix in {".gz", ".zst", ".bz2"}:
        return None
    if format_of(name, kind) == "parquet":
        import pyarrow.parquet

        return int(pyarrow.parquet.ParquetFile(path).metadata.num_rows)
    with path.open("rb") as file:
        return sum(piece.count(b"\n") for piece in iter(lambda: file.read(_PIECE), b""))


def _read(name: str, kind: str | None, column: str) -> Iterator[Given]:
    if name != "-" and not Path(name).is_file():
        raise NotFoundError(f"There is no file {name}.")
    kind = format_of(name, kind)
    if kind == "parquet":
        yield from _parquet(name, column)
        return
    called = _called(name)
    for number, line in enumerate(_lines(name), start=1):
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
            yield _given(number, where, _field(text, column))
        except InputError as error:
            yield Given(number, where, None, InputError(f"{where} {error}"))


def _given(number: int, where: str, text: str) -> Given:
    """Take a text, unless no file could hold it: escapes in JSON may be half a character."""
    from mlmfast.serving.texts import check_text

    error = check_text(text, where)
    return Given(number, where, None if error else text, error)


def _lines(name: str) -> Iterator[bytes]:
    if name == "-":  # line by line, since somebody may be typing them
        yield from sys.stdin.buffer
        return
    from mlmfast.data.sources.bytes import ByteStream, whole_lines

    for _, piece in whole_lines(ByteStream(name), _PIECE):
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


def _parquet(name: str, column: str) -> Iterator[Given]:
    import pyarrow as pa
    import pyarrow.parquet

    from mlmfast.data.sources.base import resolve_column, unknown_column

    try:
        file = pyarrow.parquet.ParquetFile(name)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{name} is no Parquet file that can be read: {error}.") from error
    path = resolve_column(file.schema_arrow.names, column)
    if path is None:
        raise unknown_column(name, column, file.schema_arrow.names)
    number = 0
    for batch in file.iter_batches(batch_size=1024, columns=[path[0]]):
        for value in batch.column(0).to_pylist():
            number += 1
            for part in path[1:]:
                value = value.get(part) if isinstance(value, dict) else None  # noqa: PLW2901
            where = f"Row {number} of {name}"
            if isinstance(value, str):
                yield Given(number, where, value)
            else:
                wrong = InputError(f"{where} has no text in its column {column!r}.")
                yield Given(number, where, None, wrong)


def _called(name: str) -> str:
    return "standard input" if name == "-" else name
