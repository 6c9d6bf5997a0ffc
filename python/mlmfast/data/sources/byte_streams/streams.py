"""Byte streams of files and standard input, decompressed on the fly."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from mlmfast.data.sources.byte_streams.compression import damages, decompress
from mlmfast.data.sources.byte_streams.first_bytes import (
    HEAD_BYTES,
    SUFFIXES,
    archive_of,
    check_readable,
    check_text,
    compression_of,
)
from mlmfast.data.sources.byte_streams.pipes import pipe_reader
from mlmfast.errors import InputError, MlmfastError, NotFoundError
from mlmfast.fs.remote.listing import RemoteFile
from mlmfast.fs.remote.reading import open_reader

STDIN = "-"
_BOM = b"\xef\xbb\xbf"
_SKIP_BYTES = 1 << 20


class ByteStream:
    """The decompressed bytes of a file, also one at a URL, or of standard input.

    Compression is detected by the first bytes, not by the name.
    """

    def __init__(
        self,
        name: str | RemoteFile,
        member: Any = None,
        *,
        archive: bool = False,
        packed: bool = True,
    ) -> None:
        """Open `name`, a path, "-" for standard input, or a file at a URL.

        Args:
            name: What to open; with `member`, only the name in messages.
            member: A file of an archive, open for reading bytes.
            archive: Whether the bytes may be an archive.
            packed: Whether the bytes may be compressed, which the first of them show.
        """
        remote = name if isinstance(name, RemoteFile) else None
        name = name.name if isinstance(name, RemoteFile) else name
        self.name = "standard input" if name == STDIN else name
        inside = member is not None or remote is not None
        regular = not inside and name != STDIN and Path(name).is_file()
        self.path = Path(name) if regular else None
        self.size = self.path.stat().st_size if self.path is not None else None
        self.raw: Any
        """The bytes as they are stored; another file once they are known to be compressed."""
        if remote is not None:
            self.size = remote.size
            self.raw = open_reader(remote)
            self._reader = self.raw.raw
        else:
            self.raw = io.BufferedReader(member, 1 << 20) if member else _open(name)
        self._remote = remote is not None
        self._pipe = None if inside else pipe_reader(self.raw, close=name != STDIN)
        if self._pipe is not None:
            if name != STDIN:
                self.raw.close()
            self.raw = io.BufferedReader(self._pipe, 1 << 20)
        self._name = name
        self._opened: Any = None if packed else self.raw
        self._peeked = b""
        self._damage: Exception | None = None
        self._remaining: int | None = None
        self._checked = archive or not packed

    @property
    def seekable(self) -> bool:
        """Whether `raw` holds the text itself, from any position on."""
        return (self.path is not None or self._remote) and not self.compressed

    @property
    def compressed(self) -> bool:
        """Whether the file is compressed, according to its first bytes."""
        return self._decompressed() is not self.raw

    @property
    def archive(self) -> str | None:
        """The archive format of the decompressed bytes, "zip" or "tar"; None if there is none."""
        return archive_of(self.peek())

    def _refuse_archive(self) -> None:
        self._checked = True
        if self.archive is not None:
            raise InputError(
                f"{self.name!r} is a {self.archive} archive, which cannot be read through a pipe "
                "or out of another one: unpack it first."
            )

    def peek(self) -> bytes:
        """Return the first decompressed bytes without consuming them, before anything is read.

        A pipe may return fewer than it will deliver, and a damaged file returns none.
        """
        stream = self._decompressed()
        if stream is self.raw:
            return _peek(self.raw)
        try:
            self._peeked = self._peeked or stream.read(HEAD_BYTES)
        except MlmfastError:
            raise
        except damages() as error:
            self._damage = error
        return self._peeked

    def _decompressed(self) -> Any:
        # Not in the constructor, since the first bytes of a pipe may take long to arrive.
        if self._opened is None:
            head = _peek(self.raw)
            packing = compression_of(head)
            expected = SUFFIXES.get(Path(self._name).suffix.lower())
            check_readable(head, self.name)
            if expected and head and packing != expected:
                raise InputError(f"{self._name!r} is no {expected} file, as its name says it is.")
            if packing is not None and self.path is not None:
                # Arrow reads its own files without acquiring the GIL for each read.
                self.raw.close()
                self.raw = pa.OSFile(str(self.path))
            self._opened = self.raw if packing is None else decompress(self.raw, packing)
        return self._opened

    @property
    def position(self) -> int:
        """Number of bytes read from the (compressed) file; 0 if unknown."""
        if self._pipe is not None:
            return 0
        try:
            return self.raw.tell()
        except (OSError, ValueError):
            return 0

    def read(self, size: int = -1) -> bytes:
        """Read `size` decompressed bytes, fewer at the end; -1 reads everything."""
        stream = self._decompressed()
        if not self._checked:
            self._refuse_archive()
        if self._remaining is not None:
            size = self._remaining if size < 0 else min(size, self._remaining)
            self._remaining -= size
        parts = [self._peeked[:size] if size >= 0 else self._peeked]
        self._peeked = self._peeked[len(parts[0]) :]
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
        except MlmfastError:
            raise  # of a file at a URL, and says all
        except damages() as error:
            if not self.compressed and getattr(error, "errno", None) is not None:
                raise InputError(f"{self.name!r} cannot be read: {error.strerror}.") from error  # type: ignore[attr-defined]
            raise InputError(
                f"{self.name!r} cannot be unpacked; it was cut off or damaged: {error}."
            ) from error

    def skip(self, size: int) -> None:
        """Skip the first `size` decompressed bytes; in an uncompressed file, seek instead."""
        if self.seekable:
            self.raw.seek(size)
            return
        while size and (part := self.read(min(size, _SKIP_BYTES))):
            size -= len(part)

    def read_at_most(self, size: int) -> None:
        """Make `read` stop after `size` more bytes, as if the file ended there."""
        self._remaining = size

    def stop(self) -> None:
        """Interrupt a read that waits for data; called from another thread."""
        if self._pipe is not None:
            self._pipe.stop()
        elif self._remote:
            self._reader.stop()

    def close(self) -> None:
        """Close the file; standard input stays open."""
        if self.raw is not getattr(sys.stdin, "buffer", None):
            self.raw.close()

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
    r"""Yield (offset in decompressed bytes, piece of text); every piece ends at a line end.

    Args:
        stream: The stream to read; a UTF-8 byte order mark at its start is skipped.
        size: Bytes per piece; a line longer than that makes a longer piece.
        start: The offset of an earlier piece, to start with that piece.
        stop: The offset of a line, to stop before that line.
        carriage_returns: Whether a lone carriage return ends a line too.

    Raises:
        InputError: The text begins with the byte order mark of UTF-16 or UTF-32.
    """
    carried: list[bytes] = []
    offset = start
    if start:
        stream.skip(start)
    if stop is not None:
        stream.read_at_most(stop - start)
    if start:
        data = stream.read(size)
    else:
        head = stream.read(max(size, 4))  # holds any byte order mark
        data = without_bom(stream.name, head)
        offset = len(head) - len(data)
        data = data or stream.read(size)
    while data:
        end = data.rfind(b"\n") + 1
        if carriage_returns:
            # Not after the last byte, which may be the first half of a \r\n.
            end = max(end, data.rfind(b"\r", 0, -1) + 1)
        if end:
            piece = b"".join([*carried, memoryview(data)[:end]])
            yield offset, piece
            offset += len(piece)
            carried = [data[end:]]
        else:
            carried.append(data)
        data = stream.read(size)
    rest = b"".join(carried)
    if rest:
        yield offset, rest


def _open(name: str) -> Any:
    if name == STDIN:
        return sys.stdin.buffer
    try:
        return Path(name).open("rb", buffering=1 << 20)
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {name!r}.") from None
    except OSError as error:
        raise InputError(f"{name!r} cannot be read: {error.strerror}.") from error


def without_bom(name: str, data: bytes) -> bytes:
    """Return the start of a text without its byte order mark.

    Raises:
        InputError: The data is UTF-16 or UTF-32, or not text.
    """
    check_text(data[:HEAD_BYTES], name)
    return data.removeprefix(_BOM)


def _peek(file: Any) -> bytes:
    """Return the next bytes without consuming them; a pipe may return fewer than will follow."""
    return file.peek(HEAD_BYTES)
