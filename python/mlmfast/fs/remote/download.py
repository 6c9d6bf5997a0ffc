"""Whole files from URLs onto the disk, compared with their checksums."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mlmfast.fs.checksums import sync_file
from mlmfast.fs.remote.reading import open_reader, read_range

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlmfast.fs.remote.listing import RemoteFile

_CHUNK = 1 << 20


def read_whole(file: RemoteFile) -> bytes:
    """Return the content of a small file."""
    return read_range(file, 0, file.size)


def sha256_at(file: RemoteFile, advance: Callable[[int], object] | None = None) -> str:
    """Return the checksum of a file at a URL, in hexadecimal digits.

    Args:
        file: The file.
        advance: Called with the number of bytes after each read.
    """
    digest = hashlib.sha256()
    with open_reader(file) as reader:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            if advance is not None:
                advance(len(chunk))
    return digest.hexdigest()


def download(file: RemoteFile, path: Path, stopped: Callable[[], bool] = lambda: False) -> str:
    """Write a file at a URL to `path`, and sync it; return its checksum.

    Args:
        file: The file.
        path: Where to; a file that is there is overwritten.
        stopped: Asked between reads whether to end early.

    Raises:
        InterruptedError: `stopped` said so.
        NotFoundError: The file is gone.
        InputError: It cannot be read.
    """
    digest = hashlib.sha256()
    with open_reader(file) as reader, path.open("r+b" if path.exists() else "wb") as target:
        while chunk := reader.read(_CHUNK):
            if stopped():
                raise InterruptedError("the download was stopped")
            digest.update(chunk)
            target.write(chunk)
        target.truncate()
    sync_file(path)
    return digest.hexdigest()
