"""JSON files other than JSON lines: a list of records, or objects over several lines."""

from __future__ import annotations

import io
import re
from typing import Any

from mlmfast._core import JsonRecords
from mlmfast.data.sources.byte_streams.streams import ByteStream, without_bom
from mlmfast.errors import InputError

_FEED_BYTES = 1 << 20
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_TWO_OBJECTS = re.compile(rb"\}\s*\{")


def is_json_lines(stream: ByteStream) -> bool:
    """Whether a JSON file holds one object per line, judging by its first line.

    A broken first line counts as JSON lines, whose reader reports the error.
    """
    head = without_bom(stream.name, stream.peek()).lstrip()
    line, ended, _ = head.partition(b"\n")
    if not head.startswith(b"{"):
        return not head.startswith(b"[")
    bare = _STRING.sub(b"", line).rstrip()
    if b'"' in bare:
        return True
    if not ended:  # the line goes on, or is the only one
        return not _TWO_OBJECTS.search(bare)
    depth = sum(map(bare.count, (b"{", b"["))) - sum(map(bare.count, (b"}", b"]")))
    if depth > 0:
        return bare[-1:] not in b"{[,:"
    return not _TWO_OBJECTS.search(bare)


def record_lines(stream: ByteStream, field: str | None) -> ByteStream:
    """Convert the records of a JSON file to JSON lines, with one record in memory at a time.

    The accepted files are those of `datasets.load_dataset("json")`: a list of objects; a list of
    strings, which become objects with the field `text`; consecutive objects over any number of
    lines; and with `field`, a single object that holds the list in this field.
    """
    return ByteStream(stream.name, _Records(stream, field), packed=False)


class _Records(io.RawIOBase):
    def __init__(self, stream: ByteStream, field: str | None) -> None:
        self._stream = stream
        self._records = JsonRecords(field)
        self._started = self._ended = False
        self._lines = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._lines and not self._ended:
            self._lines = memoryview(self._next_lines())
        part = self._lines[: len(buffer)]
        self._lines = self._lines[len(part) :]
        buffer[: len(part)] = part
        return len(part)

    def _next_lines(self) -> bytes:
        data = self._stream.read(_FEED_BYTES)
        if not self._started:
            self._started = True
            data = without_bom(self._stream.name, data)
        self._ended = not data
        try:
            if self._ended:
                self._records.finish()
            return self._records.feed(data)
        except ValueError as error:
            raise InputError(f"{self._stream.name}, {error}.") from None
