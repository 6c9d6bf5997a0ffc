"""The texts of a `fill-mask` run, each with the number of its line."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlmfast.data.sources.byte_streams.first_bytes import SUFFIXES
from mlmfast.data.sources.formats import format_of
from mlmfast.data.sources.rows import LINE_FORMATS, Row, count_rows, line_rows, source_rows
from mlmfast.errors import InputError, NotFoundError
from mlmfast.fs.paths import as_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlmfast.data.sources.base import ReadOptions

_STDIN = "-"


@dataclass(frozen=True, slots=True)
class InputText:
    """One text, or what is wrong with it.

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


def typed_texts(texts: Iterable[str]) -> Iterator[InputText]:
    """Yield the arguments of a command, and for a `-` the lines of standard input."""
    for number, text in enumerate(texts, start=1):
        if text == _STDIN:
            yield from _checked(_stdin_rows("txt", "text"), "standard input")
        else:
            yield _input_text(Row(number, f"Text {number}", text))


def read_file(name: str, kind: str | None, options: ReadOptions) -> Iterator[InputText]:
    """Yield the texts of a file, or of standard input for `-`, read as `mlmfast prepare` reads it.

    Blank lines are passed over.

    Raises:
        NotFoundError: there is no such file.
        InputError: the format is not known, a column does not exist, or there is no text.
    """
    if name != _STDIN:
        yield from _checked(_file_rows(name, kind, options), name)
    elif kind in (None, *LINE_FORMATS):
        yield from _checked(_stdin_rows(kind or "txt", options.text_column), "standard input")
    else:
        from mlmfast.data.sources.files import FileSource

        yield from _checked(source_rows(FileSource(name, kind), options), "standard input")


def count_texts(name: str, kind: str | None) -> int | None:
    """Tell how many lines or rows a file has, where that is quickly known."""
    if name == _STDIN or not _has_pyarrow():
        return None
    from mlmfast.data.sources.open import open_file

    return count_rows(open_file(as_path(name, home=True), kind))


def _checked(rows: Iterator[Row], name: str) -> Iterator[InputText]:
    empty = True
    for row in rows:
        empty = False
        yield _input_text(row)
    if empty:
        raise InputError(f"{name} holds no text.")


def _input_text(row: Row) -> InputText:
    from mlmfast.serving.text.encode import check_text

    if row.text is None:
        return InputText(row.number, row.where, None, InputError(f"{row.where} {row.problem}."))
    # An escape in JSON may be half a character, which no file could hold.
    error = check_text(row.text, row.where)
    return InputText(row.number, row.where, None if error else row.text, error)


def _stdin_rows(kind: str, text_column: str) -> Iterator[Row]:
    # Line by line, since somebody may be typing them.
    return line_rows(sys.stdin.buffer, "standard input", kind, text_column)


def _file_rows(name: str, kind: str | None, options: ReadOptions) -> Iterator[Row]:
    path = as_path(name, home=True)
    if not path.exists() or path.is_dir():
        raise NotFoundError(f"There is no file {name}.")
    if _has_pyarrow():
        from mlmfast.data.sources.open import open_file

        yield from source_rows(open_file(path, kind), options)
        return
    kind = kind or format_of(path)
    if kind not in LINE_FORMATS or path.suffix.lower() in SUFFIXES:
        raise InputError(
            f"{name} cannot be read without pyarrow, which reads everything but plain text and "
            "JSON lines: pip install pyarrow."
        )
    with path.open("rb") as lines:
        yield from line_rows(lines, name, kind, options.text_column)


def _has_pyarrow() -> bool:
    """Whether pyarrow is installed; images that only serve may leave it out."""
    try:
        import pyarrow  # noqa: F401, ICN001
    except ImportError:
        return False
    return True
