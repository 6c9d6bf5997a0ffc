"""The files of a block store at a URL, as far as they lie in the cache: `CachedFiles`."""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from mlmfast.data.store.damage import checksums_of
from mlmfast.data.store.manifest import MANIFEST_FILE, Manifest, Shard
from mlmfast.data.store.shard_file import MappedShard, map_shard
from mlmfast.errors import InputError, NotFoundError, StoreError
from mlmfast.fs.atomic import atomic_file, write_atomic
from mlmfast.fs.cache import cache_dir, digest
from mlmfast.fs.lock import FileLock
from mlmfast.fs.remote.bounded_cache import SIZE_VARIABLE, BoundedCache, cache_bytes
from mlmfast.fs.remote.download import download, read_whole
from mlmfast.fs.remote.listing import RemoteFile, look_up
from mlmfast.fs.remote.reading import read_range
from mlmfast.fs.remote.urls import shown

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)
_END = 4096
"""Bytes of the ids at either end that opening a shard compares with the manifest."""
_LONGEST_NAME = 80


class CachedFiles:
    """Manifest and tokenizer of a store at a URL, and those of its shards that were downloaded.

    Everything that is opened from the cache has been compared with the manifest's checksums. While
    the object lives, no process removes the files from the cache.

    Args:
        url: The store, without splits.
        size: Bytes of the cache, or a text such as "50GB"; None for the default.

    Raises:
        StoreError: It is no block store, or it is damaged.
        InputError: It cannot be accessed.
    """

    def __init__(self, url: str, size: int | str | None = None) -> None:
        self.url = url.rstrip("/")
        self._cache = BoundedCache(cache_dir("stores"), cache_bytes(size))
        content = self._read_manifest()
        name = re.sub(r"[^A-Za-z0-9.-]+", "-", shown(self.url))[-_LONGEST_NAME:].strip("-.")
        name = f"{name}-{digest([self.url.encode(), b'|', content])[:12]}"
        self._lock = self._cache.use(name)
        self.folder = self._cache.root / name
        if not (self.folder / MANIFEST_FILE).exists():
            write_atomic(self.folder / MANIFEST_FILE, content)
        self.manifest = Manifest.read(self.folder)
        self._files: dict[str, RemoteFile] = {}
        shards = {shard.file for shard in self.manifest.shards}
        for file, checksum in checksums_of(self.manifest).items():
            if file not in shards and not (self.folder / file).exists():
                self._fetch_small(file, checksum)

    def remote(self, shard: Shard) -> RemoteFile:
        """Return the file of a shard at the URL, whose size has been compared with the manifest."""
        if shard.file not in self._files:
            found = _look_up(f"{self.url}/{shard.file}")
            if found.size != shard.bytes:
                raise StoreError(
                    f"{found.name!r} has {found.size:,} bytes, but {shard.bytes:,} were written: "
                    "it was cut off or changed. Copy it again, or prepare the store again."
                )
            self._files[shard.file] = found
        return self._files[shard.file]

    def is_whole(self, shard: Shard) -> bool:
        """Whether a shard has been downloaded."""
        return (self.folder / shard.file).exists()

    def map_whole(self, shard: Shard) -> MappedShard:
        """Open a shard that has been downloaded."""
        return map_shard(self.folder, shard, self.manifest.block_size)

    def map_frame(self, shard: Shard) -> MappedShard:
        """Open a shard's document starts; all but the first and last of its ids read as zeros.

        Nothing but the header, the ends of the ids and what follows them is downloaded.
        """
        if not shard.ids_end:
            raise StoreError(
                f"The block store {shown(self.url)!r} was written by an early version of mlmfast, "
                "and can only be read from the disk: copy it there."
            )
        frame = replace(shard, file=f"{shard.file}.frame")
        path = self.folder / frame.file
        if not path.exists():
            end = min(_END, shard.ids_end - shard.ids_start)
            head, tail = shard.ids_start + end, shard.ids_end - end
            ranges = [(0, head), (max(head, tail), shard.bytes)]
            if tail - head < _END:
                ranges = [(0, shard.bytes)]
            parts = [(start, read_range(self.remote(shard), start, stop)) for start, stop in ranges]
            with atomic_file(path) as partial, partial.open("wb") as file:
                file.truncate(shard.bytes)
                for start, data in parts:
                    file.seek(start)
                    file.write(data)
        return map_shard(self.folder, frame, self.manifest.block_size)

    def fetch(
        self, shard: Shard, *, wait: bool, stopped: Callable[[], bool] = lambda: False
    ) -> bool | None:
        """Download a shard, if the cache has room for it, and compare its checksum.

        Args:
            shard: The shard.
            wait: Whether to wait where another process downloads it.
            stopped: Asked between reads whether to end early.

        Returns:
            True when it is there; False if another process downloads it; None without room.

        Raises:
            StoreError: The file differs from what was written.
            InputError: It cannot be accessed.
            InterruptedError: `stopped` said so.
        """
        lock = FileLock(self.folder / f".{shard.file}.lock")
        try:
            lock.acquire(wait=wait)
        except BlockingIOError:
            return False
        partial = self.folder / f".{shard.file}.partial"
        try:
            if self.is_whole(shard):
                return True
            remote = self.remote(shard)
            partial.unlink(missing_ok=True)  # of a process that was killed
            if not self._cache.reserve(partial, shard.bytes):
                return None
            if download(remote, partial, stopped) != shard.sha256:
                raise StoreError(
                    f"{remote.name!r} was changed after it was written: its checksum is not the "
                    "manifest's. Copy it again, or prepare the store again."
                )
            partial.replace(self.folder / shard.file)
            return True
        finally:
            with suppress(OSError):
                partial.unlink()
            lock.release()

    def fetch_all(self) -> None:
        """Download all shards, waiting for those that other processes download.

        Raises:
            InputError: The cache is too small for the store, or the store cannot be accessed.
            StoreError: A file differs from what was written.
        """
        absent = [shard for shard in self.manifest.shards if not self.is_whole(shard)]
        total = sum(each.bytes for each in self.manifest.shards)
        missing = sum(shard.bytes for shard in absent)
        logger.info(
            "downloading %s of %s bytes of %s", f"{missing:,}", f"{total:,}", shown(self.url)
        )
        for shard in absent:
            if self.fetch(shard, wait=True) is None:
                raise InputError(
                    f"The block store {shown(self.url)!r} has {total:,} bytes, all of which are "
                    f"needed here, and the cache {str(self._cache.root)!r} may take "
                    f"{self._cache.limit:,} with what others use: set {SIZE_VARIABLE} to more."
                )

    def _read_manifest(self) -> bytes:
        try:
            return read_whole(_look_up(f"{self.url}/{MANIFEST_FILE}"))
        except NotFoundError as error:
            raise StoreError(
                f"There is no block store at {shown(self.url)!r}: no {MANIFEST_FILE}."
            ) from error

    def _fetch_small(self, file: str, checksum: str) -> None:
        target = self.folder / file
        with atomic_file(target) as partial:
            if download(_look_up(f"{self.url}/{file}"), partial) != checksum:
                raise StoreError(
                    f"{shown(self.url)}/{file} was changed after it was written: its checksum is "
                    "not the manifest's. Copy it again, or prepare the store again."
                )


def _look_up(url: str) -> RemoteFile:
    found = look_up(url)
    if found is None:
        raise NotFoundError(f"{shown(url)!r} is a folder, and no file.")
    return found
