"""Opening files and standard input, and unpacking what is compressed."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from mlmfast.data.sources.compression import damages, decompress
from mlmfast.data.sources.first_bytes import (
    HEAD_BYTES,
    SUFFIXES,
    archive_of,
    check_readable,
    check_text,
    compression_of,
)
from mlmfast.data.sources.pipes import pipe_reader
from mlmfast.errors import InputError, NotFoundError

STDIN = "-"
_BOM = b"\xef\xbb\xbf"
_SKIP_BYTES = 1 << 20


class ByteStream:
    """The unpacked bytes of a file or of standard input.

    What is compressed is known by its first bytes, not by its name.
    """

    def __init__(
        self, name: str, member: Any = None, *, archive: bool = False, packed: bool = True
    ) -> None:
        """Open `name`, a path or "-" for standard input.

        Args:
            name: What to open; with a member, what messages call it.
            member: A file of an archive, open for reading bytes.
            archive: The bytes may be those of an archive.
            packed: The bytes may be packed, which the first of them tell.
        """
        self.name = "standard input" if name == STDIN else name
        regular = member is None and name != STDIN and Path(name).is_file()
        self.path = Path(name) if regular else None
        self.size = self.path.stat().st_size if self.path is not None else None
        self._raw: Any = io.BufferedReader(member, 1 << 20) if member else _open(name)
        self._pipe = None if member else pipe_reader(self._raw, close=name != STDIN)
        if self._pipe is not None:
            if name != STDIN:
                self._raw.close()
            self._raw = io.BufferedReader(self._pipe, 1 << 20)
        self._name = name
        self._opened: Any = None if packed else self._raw
        self._ahead = b""
        self._damage: Exception | None = None
        self._left: int | None = None
        self._checked = archive or not packed

    @property
    def compressed(self) -> bool:
        """Whether the bytes are unpacked on the way; the first of them tell."""
        return self._unpacked() is not self._raw

    @property
    def archive(self) -> str | None:
        """What archive the unpacked bytes are, "zip" or "tar"; None where they are none."""
        return archive_of(self.peek())

    def _refuse_archive(self) -> None:
        self._checked = True
        if self.archive is not None:
            raise InputError(
                f"{self.name!r} is a {self.archive} archive, which cannot be read through a pipe "
                "or out of another one: unpack it first."
            )

    def peek(self) -> bytes:
        """Return the first unpacked bytes, before any was read, and read them all the same later.

        A pipe may give fewer than there will be, and a damaged file gives none.
        """
        stream = self._unpacked()
        if stream is self._raw:
            return _peek(self._raw)
        try:
            self._ahead = self._ahead or stream.read(HEAD_BYTES)
        except damages() as error:
            self._damage = error
        return self._ahead

    def _unpacked(self) -> Any:
        # Not when it is opened: the first bytes of a pipe may be long in coming.
        if self._opened is None:
            head = _peek(self._raw)
            packing = compression_of(head)
            expected = SUFFIXES.get(Path(self._name).suffix.lower())
            check_readable(head, self.name)
            if expected and head and packing != expected:
                raise InputError(f"{self._name!r} is no {expected} file, as its name says it is.")
            if packing is not None and self.path is not None:
                # Arrow reads a file of its own without asking for the interpreter each time.
                self._raw.close()
                self._raw = pa.OSFile(str(self.path))
            self._opened = self._raw if packing is None else decompress(self._raw, packing)
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
        if not self._checked:
            self._refuse_archive()
        if self._left is not None:
            size = self._left if size < 0 else min(size, self._left)
            self._left -= size
        parts = [self._ahead[:size] if size >= 0 else self._ahead]
        self._ahead = self._ahead[len(parts[0]) :]
        try:
            if self._damage is not None:
                raise self._damage
            if size < 0:
                return parts[0] + stream.read()
            size -= len(parts[0])
            while size and (part := stream.read(size)):
                parts.append(part)
                size -= len(part)
            return parts[-1] if len(parts) == 2 and not parts[0] else b"".join(parts)
        except damages() as error:
            if not self.compressed and getattr(error, "errno", None) is not None:
                raise InputError(f"{self.name!r} cannot be read: {error.strerror}.") from error  # type: ignore[attr-defined]
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
        data = without_mark(stream.name, head)
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


def without_mark(name: str, data: bytes) -> bytes:
    """Return the beginning of a text without its byte order mark.

    Raises:
        InputError: It is UTF-16 or UTF-32, or no text at all.
    """
    check_text(data[:HEAD_BYTES], name)
    return data.removeprefix(_BOM)


def _peek(file: Any) -> bytes:
    """Return the bytes that lie ahead; a pipe may give fewer than there will be."""
    return file.peek(HEAD_BYTES)
