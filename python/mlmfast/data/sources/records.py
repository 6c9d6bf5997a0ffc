"""JSON files that are no JSON lines: a list of records, objects over many lines."""

from __future__ import annotations

import io
import re
from typing import Any

from mlmfast._core import JsonRecords
from mlmfast.data.sources.streams import ByteStream, without_mark
from mlmfast.errors import InputError

_FEED_BYTES = 1 << 20
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_TWO_OBJECTS = re.compile(rb"\}\s*\{")


def is_json_lines(stream: ByteStream) -> bool:
    """Whether a JSON file holds an object a line, as far as its first line tells.

    A first line that is broken is one of JSON lines: who reads it says what is wrong.
    """
    head = without_mark(stream.name, stream.peek()).lstrip()
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
    """Give the records of a JSON file as JSON lines, one at a time in memory.

    What `datasets.load_dataset("json")` reads: a list of objects, or of strings, which become
    objects with the field `text`; objects one after the other, over any lines; and with `field`,
    the list that the file's only object has there.
    """
    return ByteStream(stream.name, _Records(stream, field), packed=False)


class _Records(io.RawIOBase):
    def __init__(self, stream: ByteStream, field: str | None) -> None:
        self._stream = stream
        self._records = JsonRecords(field)
        self._begun = self._ended = False
        self._lines = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._lines and not self._ended:
            self._lines = memoryview(self._more())
        part = self._lines[: len(buffer)]
        self._lines = self._lines[len(part) :]
        buffer[: len(part)] = part
        return len(part)

    def _more(self) -> bytes:
        data = self._stream.read(_FEED_BYTES)
        if not self._begun:
            self._begun = True
            data = without_mark(self._stream.name, data)
        self._ended = not data
        try:
            if self._ended:
                self._records.finish()
            return self._records.feed(data)
        except ValueError as error:
            raise InputError(f"{self._stream.name}, {error}.") from None
