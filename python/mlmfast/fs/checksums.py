"""Checksums of files and content, and syncing files to disk."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_CHUNK = 1 << 20
_END = 4096


@dataclass(frozen=True)
class FileStamp:
    """The name, size and checksum of a file when it was written."""

    file: str
    """Its name, without the folder."""
    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the stamp of the file at `path`."""
        return cls(path.name, path.stat().st_size, file_sha256(path))

    def matches(self, folder: Path) -> bool:
        """Return whether the file is in `folder` and unchanged."""
        path = folder / self.file
        try:
            return path.stat().st_size == self.bytes and file_sha256(path) == self.sha256
        except OSError:
            return False


def checksum_of(content: dict[str, Any]) -> str:
    """Return the checksum of a JSON object, without its entry `checksum`."""
    text = json.dumps({**content, "checksum": None}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def with_checksum(content: bytes) -> bytes:
    """Prepend a checksum, for `without_checksum`."""
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def without_checksum(content: bytes) -> bytes:
    """Check and remove the checksum that `with_checksum` prepended.

    Raises:
        ValueError: The content has changed.
    """
    checksum, _, rest = content.partition(b"\n")
    if checksum != hashlib.sha256(rest).hexdigest().encode():
        raise ValueError("the checksum is another")
    return rest


def file_sha256(path: Path, advance: Callable[[int], object] | None = None) -> str:
    """Return the checksum of a file, in hexadecimal digits.

    Args:
        path: The file.
        advance: Called with the number of bytes after each read.
    """
    with path.open("rb") as file:
        if advance is None:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            advance(len(chunk))
        return digest.hexdigest()


def frame_sha256(path: Path, *ranges: tuple[int, int]) -> str:
    """Return the checksum of a file without some ranges of its bytes, (start, end) in order."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for start, end in ranges:
            if start < end:
                digest.update(file.read(start - file.tell()))
                file.seek(end)
        digest.update(file.read())
    return digest.hexdigest()


def ends_sha256(path: Path, start: int, end: int) -> str:
    """Return the checksum of the first and the last 4 KiB of a file's bytes `start` to `end`."""
    size = min(_END, end - start)
    with path.open("rb") as file:
        file.seek(start)
        digest = hashlib.sha256(file.read(size))
        file.seek(end - size)
        digest.update(file.read(size))
    return digest.hexdigest()


def sync_file(path: Path) -> None:
    """Flush the content of a file to disk."""
    descriptor = os.open(
        path, os.O_RDWR
    )  # Windows cannot sync a file that is open for reading only
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Flush the entries of a folder to disk, if the file system supports it."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
