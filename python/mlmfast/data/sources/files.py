"""Files of any format, also at URLs, and standard input as sources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlmfast.data.sources.base import Location, Piece, ReadOptions
from mlmfast.data.sources.byte_streams.streams import STDIN, ByteStream
from mlmfast.data.sources.formats import ARCHIVED, read_stream
from mlmfast.fs.remote.listing import RemoteFile

_UNPACKING = 4  # about how many times larger compressed text becomes
_PACKED = (".gz", ".zst", ".bz2", ".xz", ".lz4", ".parquet")


class FileSource:
    """One file, also one at a URL, or standard input."""

    def __init__(self, name: str | RemoteFile, kind: str) -> None:
        """Read `name` in the format `kind`, one of FORMATS."""
        self.remote = name if isinstance(name, RemoteFile) else None
        """The file, if it lies at a URL."""
        self.name = name.name if isinstance(name, RemoteFile) else name
        self.kind = kind
        self.regular = self.remote is not None or (self.name != STDIN and Path(self.name).is_file())
        """Whether this is a file that can be read again, and not a pipe."""
        self.size: int | None = file_size(name) if self.regular else None
        self.text_size = None if self.size is None else unpacked_size(self.name, self.size)
        self._stream: ByteStream | None = None
        self._stopped = False

    def pieces(self, options: ReadOptions, location: Location | None = None) -> Iterator[Piece]:
        """Yield the documents of the file."""
        with self._open() as stream:
            self._stream = stream
            if self._stopped:
                stream.stop()
            yield from read_stream(stream, self.kind, options, location)
        if self.remote is not None:
            self.remote.check_unchanged()
        self._stream = None

    def streams(self) -> Iterator[tuple[ByteStream, str]]:
        """Yield the file's bytes and their format."""
        with self._open() as stream:
            yield stream, self.kind

    def _open(self) -> ByteStream:
        return ByteStream(self.remote or self.name, archive=self.kind in ARCHIVED)

    def fingerprint(self) -> dict[str, Any] | None:
        """Return the name, size and modification time, or version."""
        return file_fingerprint(self.remote or self.name, self.kind) if self.regular else None

    def stop(self) -> None:
        """Interrupt a read that waits for a pipe."""
        self._stopped = True
        if self._stream is not None:
            self._stream.stop()


def unpacked_size(name: str, size: int) -> int:
    """Return about how many bytes of text a file of `size` bytes holds."""
    return size * (_UNPACKING if name.endswith(_PACKED) else 1)


def file_size(name: str | RemoteFile) -> int:
    """Return the size of a file in bytes."""
    return name.size if isinstance(name, RemoteFile) else Path(name).stat().st_size


def file_fingerprint(name: str | RemoteFile, kind: str) -> dict[str, Any]:
    """Return a file's path, format, size and modification time; at a URL, its version."""
    if isinstance(name, RemoteFile):
        return {"name": name.name, "kind": kind, "size": name.size, "version": name.version}
    path = Path(name)
    stat = path.stat()
    return {
        "name": str(path.resolve()),
        "kind": kind,
        "size": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
    }
