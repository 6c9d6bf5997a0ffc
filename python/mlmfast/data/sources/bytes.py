"""Opening files and standard input, and unpacking what is compressed."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from mlmfast.data.sources.pipes import pipe_reader
from mlmfast.data.sources.unpack import unpacked
from mlmfast.errors import InputError, NotFoundError

STDIN = "-"
SUFFIXES = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2"}
_BZ2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")
_BOM = b"\xef\xbb\xbf"
_SKIP_BYTES = 1 << 20


class ByteStream:
    """The unpacked bytes of a file or of standard input.

    What is compressed is known by its first bytes, not by its name.
    """

    def __init__(self, name: str) -> None:
        """Open `name`, a path or "-" for standard input."""
        self.name = "standard input" if name == STDIN else name
        self.path = None if name == STDIN or not Path(name).is_file() else Path(name)
        self.size = self.path.stat().st_size if self.path is not None else None
        self._raw: Any = _open(name)
        self._pipe = pipe_reader(self._raw, close=name != STDIN)
        if self._pipe is not None:
            if name != STDIN:
                self._raw.close()
            self._raw = io.BufferedReader(self._pipe, 1 << 20)
        self._name = name
        self._opened: Any = None
        self._left: int | None = None

    @property
    def compressed(self) -> bool:
        """Whether the bytes are unpacked on the way; the first of them tell."""
        return self._unpacked() is not self._raw

    def _unpacked(self) -> Any:
        # Not when it is opened: the first bytes of a pipe may be long in coming.
        if self._opened is None:
            head = self._raw.peek(16)[:16]
            packing = _packing(head)
            expected = SUFFIXES.get(Path(self._name).suffix.lower())
            if expected and head and packing != expected:
                raise InputError(f"{self._name!r} is no {expected} file, as its name says it is.")
            if packing is not None and self.path is not None:
                # Arrow reads a file of its own without asking for the interpreter each time.
                self._raw.close()
                self._raw = pa.OSFile(str(self.path))
            self._opened = self._raw if packing is None else unpacked(self._raw, packing)
        return self._opened

    @property
    def position(self) -> int:
        """Bytes read of the file as it lies on disk; 0 where that is not known."""
        if self._pipe is not None:
            return 0
        try:
            return self._raw.tell()
        except (OSError, ValueError):
            return 0

    def read(self, size: int = -1) -> bytes:
        """Read `size` unpacked bytes, fewer at the end; -1 reads everything."""
        stream = self._unpacked()
        if self._left is not None:
            size = self._left if size < 0 else min(size, self._left)
            self._left -= size
        try:
            if size < 0:
                return stream.read()
            parts = []
            while size and (part := stream.read(size)):
                parts.append(part)
                size -= len(part)
            return parts[0] if len(parts) == 1 else b"".join(parts)
        except OSError as error:
            if not self.compressed and error.errno is not None:
                raise InputError(f"{self.name!r} cannot be read: {error.strerror}.") from error
            raise InputError(
                f"{self.name!r} cannot be unpacked; it was cut off or damaged: {error}."
            ) from error

    def skip(self, size: int) -> None:
        """Pass over the first `size` unpacked bytes; a file that is not packed is not read."""
        if self.path is not None and not self.compressed:
            self._raw.seek(size)
            return
        while size and (part := self.read(min(size, _SKIP_BYTES))):
            size -= len(part)

    def read_at_most(self, size: int) -> None:
        """Let `read` end after `size` more bytes, as if the file did."""
        self._left = size

    def stop(self) -> None:
        """End a wait for bytes that may never come; called from another thread."""
        if self._pipe is not None:
            self._pipe.stop()

    def close(self) -> None:
        """Close the file; standard input stays open."""
        if self._raw is not getattr(sys.stdin, "buffer", None):
            self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def whole_lines(
    stream: ByteStream,
    size: int,
    *,
    start: int = 0,
    stop: int | None = None,
    carriage_returns: bool = False,
) -> Iterator[tuple[int, bytes]]:
    r"""Yield (unpacked bytes before it, a piece of a text), each piece ending where a line ends.

    Args:
        stream: What is read; a UTF-8 byte order mark at its start is left out.
        size: Bytes of a piece; a longer line makes a longer piece.
        start: A number that was yielded before: begin with that piece.
        stop: Where a line begins: the text ends before it.
        carriage_returns: A lone carriage return ends a line too.

    Raises:
        InputError: The text begins with the byte order mark of UTF-16 or UTF-32.
    """
    held: list[bytes] = []
    place = start
    if start:
        stream.skip(start)
    if stop is not None:
        stream.read_at_most(stop - start)
    if start:
        data = stream.read(size)
    else:
        head = stream.read(max(size, 4))  # a byte order mark goes into it
        data = _without_mark(stream.name, head)
        place = len(head) - len(data)
        data = data or stream.read(size)
    while data:
        cut = data.rfind(b"\n") + 1
        if carriage_returns:
            # The last byte may be the first half of a \r\n, so it never ends a piece.
            cut = max(cut, data.rfind(b"\r", 0, -1) + 1)
        if cut:
            piece = b"".join([*held, memoryview(data)[:cut]])
            yield place, piece
            place += len(piece)
            held = [data[cut:]]
        else:
            held.append(data)
        data = stream.read(size)
    rest = b"".join(held)
    if rest:
        yield place, rest


def _open(name: str) -> Any:
    if name == STDIN:
        return sys.stdin.buffer
    try:
        return Path(name).open("rb", buffering=1 << 20)
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {name!r}.") from None
    except OSError as error:
        raise InputError(f"{name!r} cannot be read: {error.strerror}.") from error


def _packing(head: bytes) -> str | None:
    for magic, name in _MAGIC.items():
        if head.startswith(magic) and (name != "bz2" or head[4:10] in _BZ2_BLOCKS):
            return name
    return None


def _without_mark(name: str, data: bytes) -> bytes:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(
            f"{name!r} is UTF-16 or UTF-32 text. Convert it first: "
            "iconv -f UTF-16 -t UTF-8 FILE > NEW."
        )
    return data.removeprefix(_BOM)


def as_file(stream: ByteStream) -> io.BufferedReader:
    """Return the stream as a file object of Python, for readers that want one."""
    return io.BufferedReader(_Readable(stream), 1 << 20)


class _Readable(io.RawIOBase):
    def __init__(self, stream: ByteStream) -> None:
        self._source = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
