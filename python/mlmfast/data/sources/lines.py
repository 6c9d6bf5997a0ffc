"""Plain text: every line is a document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mlmfast.data.sources.bytes import ByteStream, whole_lines
from mlmfast.data.sources.utf8 import checked_text

if TYPE_CHECKING:
    from mlmfast.data.sources.base import ReadOptions


def read_lines(stream: ByteStream, options: ReadOptions) -> Iterator[pa.Array]:
    r"""Yield the lines of a text without their line ends.

    Lines end as in Python's text files and in `datasets.load_dataset("text")`: at \n, \r\n and
    \r, at nothing else. An empty line is an empty document; no line follows the last line end.
    """
    number = 1
    for chunk in whole_lines(stream, options.batch_bytes, carriage_returns=True):
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")  # noqa: PLW2901
        lines = pc.split_pattern(pa.array([chunk], pa.large_binary()), "\n").values
        if chunk.endswith(b"\n"):
            lines = lines.slice(0, len(lines) - 1)

        def where(row: int, first: int = number) -> str:
            return f"{stream.name}, line {first + row:,}"

        yield checked_text(lines, options, where)
        number += len(lines)
