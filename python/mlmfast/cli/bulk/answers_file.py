"""Writes answers to a file of JSON lines or Parquet, atomically."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mlmfast.errors import InputError, OutputExistsError
from mlmfast.fs.atomic import atomic_file, is_disk_full

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIXES = (".jsonl", ".ndjson", ".parquet")
_PER_MASK = ("rows", "whole targets")
_ROWS = 1024


class AnswerWriter(Protocol):
    """Takes one row for each text: line, text, and answer or error."""

    def write(self, row: dict[str, Any]) -> None:
        """Add a row."""

    def close(self) -> None:
        """Write the buffered rows."""


@contextmanager
def answers_file(name: str, kind: str, *, overwrite: bool) -> Iterator[AnswerWriter]:
    """Yield a writer to a temporary sibling that becomes `name` when the block ends well.

    Args:
        name: the file to write; its suffix is its format.
        kind: the kind of answers: "rows" or "whole targets" for each mask, "fillings" of a text,
            its "score", or its "words" with their weights.
        overwrite: whether an existing file may be replaced.

    Raises:
        InputError: the suffix is of no known format, or the file cannot be written.
        OutputExistsError: the file exists already.
    """
    target = Path(name)
    if target.suffix.lower() not in SUFFIXES:
        raise InputError(f"--output ends in {', '.join(SUFFIXES[:-1])} or .parquet; got {name}.")
    if target.is_dir():
        raise OutputExistsError(f"The output {name} is a folder; give the name of a file.")
    if target.exists() and not overwrite:
        raise OutputExistsError(f"The output {name} exists already. Use --overwrite to replace it.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        parquet = target.suffix.lower() == ".parquet"
        with atomic_file(target) as partial:
            writer: AnswerWriter = _Parquet(partial, kind) if parquet else _JsonLines(partial)
            yield writer
            writer.close()
    except OSError as error:
        why = "the disk is full" if is_disk_full(error) else error.strerror or str(error)
        raise InputError(f"{name} cannot be written: {why}.") from error


class _JsonLines:
    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def write(self, row: dict[str, Any]) -> None:
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def close(self) -> None:
        self._file.close()


class _Parquet:
    """Columns line, text, answer and error; `answer` always holds a list for each mask."""

    def __init__(self, path: Path, kind: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        self._nested = kind in _PER_MASK
        self._schema = pa.schema(
            [
                ("line", pa.int64()),
                ("text", pa.string()),
                ("answer", _answer_type(pa, kind)),
                ("error", pa.string()),
            ]
        )
        self._writer = pyarrow.parquet.ParquetWriter(path, self._schema)
        self._rows: list[dict[str, Any]] = []

    def write(self, row: dict[str, Any]) -> None:
        answer = row.get("answer")
        if self._nested and answer and isinstance(answer[0], dict):
            row = {**row, "answer": [answer]}
        self._rows.append(row)
        if len(self._rows) == _ROWS:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []


def _answer_type(pa: Any, kind: str) -> Any:
    if kind == "score":
        return pa.float64()
    if kind == "words":
        fields = {"ids": pa.int32(), "tokens": pa.string(), "weights": pa.float32()}
        return pa.struct([(name, pa.list_(of)) for name, of in fields.items()])
    several = pa.list_(pa.int32()), pa.list_(pa.string())
    tokens, texts = (pa.int32(), pa.string()) if kind == "rows" else several
    names = ("token", "token_str") if kind == "rows" else ("tokens", "token_strs")
    row = pa.struct(
        [
            ("score", pa.float64()),
            (names[0], tokens),
            (names[1], texts),
            ("sequence", pa.string()),
        ]
    )
    return pa.list_(pa.list_(row)) if kind in _PER_MASK else pa.list_(row)
