"""Plain text: every line is a document."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mlmfast._core import line_ends
from mlmfast.data.arrow_numpy import one_text
from mlmfast.data.sources.base import Location, Piece
from mlmfast.data.sources.byte_streams.streams import ByteStream, whole_lines
from mlmfast.data.sources.group_column import refuse_group_column
from mlmfast.data.sources.readers.utf8 import checked_text

if TYPE_CHECKING:
    from mlmfast.data.sources.base import ReadOptions


logger = logging.getLogger(__name__)


def read_lines(
    stream: ByteStream, options: ReadOptions, location: Location | None = None
) -> Iterator[Piece]:
    r"""Yield the lines of a text without their line ends.

    As in Python's text files and in `datasets.load_dataset("text")`, lines end at \n, \r\n and \r
    only. An empty line is an empty document; the last line end does not start another line.
    """
    refuse_group_column(stream.name, "txt", options)
    number = location["line"] if location else 1
    warned = False
    start, stop = (location["offset"], location.get("stop")) if location else (0, None)
    for offset, data in whole_lines(
        stream, options.batch_bytes, start=start, stop=stop, carriage_returns=True
    ):
        text = unix_lines(data)
        if not warned and b"\0" in text:
            warned = True
            line = number + line_ends(text[: text.index(b"\0")])
            logger.warning(
                "%s holds NUL bytes, the first on line %s: perhaps this is not text, but a binary "
                "file, or UTF-16.",
                stream.name,
                f"{line:,}",
            )
        here = {"offset": offset, "line": number}
        yield Piece(partial(_documents, text, stream.name, number), here, stream.position)
        number += count_lines(text)


def unix_lines(data: bytes) -> bytes:
    r"""Return whole lines with all line ends replaced by \n."""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data


def count_lines(data: bytes) -> int:
    """Return the number of lines; text after the last line end counts as a line."""
    return line_ends(data) + (not data.endswith(b"\n"))


def _documents(text: bytes, name: str, first: int, options: ReadOptions) -> pa.Array:
    lines = pc.split_pattern(one_text(text), "\n").values
    if text.endswith(b"\n"):
        lines = lines.slice(0, len(lines) - 1)
    return checked_text(lines, options, lambda row: f"{name}, line {first + row:,}")
