"""A block store at a URL: `RemoteStore`."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.data.store.manifest import MANIFEST_FILE
from mlmfast.data.store.remote.background import download_shards
from mlmfast.data.store.remote.cached_files import CachedFiles
from mlmfast.data.store.remote.row_reader import RowReader
from mlmfast.data.store.store import BlockStore
from mlmfast.errors import NotFoundError, StoreError
from mlmfast.fs.remote.listing import look_up
from mlmfast.fs.remote.urls import shown

if TYPE_CHECKING:
    from collections.abc import Sequence


class RemoteStore(BlockStore):
    """The blocks of a store at a URL, through a bounded cache on this machine.

    Blocks can be used at once: those of shards that are not in the cache are read from the URL,
    ahead for batches that are known to come. Meanwhile a thread downloads whole shards, compares
    them with their checksums, and they are read from the disk from then on. Where the cache has no
    room for all shards, the blocks of the others are read from the URL each time.

    `path` is the folder in the cache, and `shards` downloads what is missing.

    Args:
        url: The store, without splits.
        cache_size: Of the cache; see `BlockStore.open`.

    Raises:
        StoreError: It is no block store, or it is damaged.
        InputError: It cannot be accessed.
    """

    def __init__(self, url: str, cache_size: int | str | None = None) -> None:
        self.url = url
        self._cache_size = cache_size
        self._files = files = CachedFiles(url, cache_size)
        self.path = files.folder
        self.manifest = files.manifest
        self._dtype = np.dtype(np.uint16 if self.manifest.vocab_size <= 1 << 16 else np.uint32)
        self._whole: list[np.ndarray | None] = [
            files.map_whole(shard).ids if files.is_whole(shard) else None
            for shard in self.manifest.shards
        ]
        self._starts = np.cumsum([0, *(shard.blocks for shard in self.manifest.shards)])
        self._reader = RowReader(files, self._dtype, self._whole)
        self._stopped = threading.Event()
        self._downloading: int | None = None  # the process whose thread downloads
        self._found_starts: tuple[tuple[np.ndarray, np.ndarray], ...] | None = None
        weakref.finalize(self, _close, self._stopped, self._reader)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.url, self.fingerprint, self._cache_size)

    def __repr__(self) -> str:
        blocks = f"{len(self):,} blocks of {self.block_size} tokens"
        return f"RemoteStore({shown(self.url)!r}, {blocks})"

    @property
    def location(self) -> str:
        """The URL of the store."""
        return shown(self.url)

    @property
    def dtype(self) -> np.dtype:
        """Type of the ids, uint16 or uint32."""
        return self._dtype

    @property
    def shards(self) -> Sequence[np.ndarray]:
        """The shards as read-only arrays `[n, L]` over files in the cache.

        Raises:
            InputError: The cache is too small for all, or the URL cannot be accessed.
            StoreError: A file differs from what was written.
        """
        self._fetch_all()
        return tuple(shard for shard in self._whole if shard is not None)

    @property
    def _shards(self) -> list[np.ndarray]:  # type: ignore[override]
        return list(self.shards)

    @property
    def _document_starts(  # type: ignore[override]
        self,
    ) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        if self._found_starts is None:
            files = self._files
            found = [
                (files.map_whole if files.is_whole(shard) else files.map_frame)(shard).starts
                for shard in self.manifest.shards
            ]
            self._found_starts = tuple(starts for starts in found if starts is not None)
        return self._found_starts

    @property
    def is_partial(self) -> bool:
        """Whether some shards are not in the cache, so that `rows` returns their blocks."""
        return any(shard is None for shard in self._whole)

    def to_datasets(self) -> Any:
        """Download what is missing, and open the store as a `datasets.Dataset`."""
        self._fetch_all()
        return super().to_datasets()

    def verify(self, *, progress: bool = False) -> None:
        """Download what is missing, and compare all files in the cache with the manifest."""
        self._fetch_all()
        super().verify(progress=progress)

    def rows(self, block_ids: np.ndarray) -> np.ndarray | None:
        """Return blocks, `[B, L]`; None once all shards are in the cache.

        Args:
            block_ids: uint64 `[B]`, each less than the number of blocks.

        Raises:
            InputError: The URL cannot be accessed.
        """
        if not self.is_partial:
            return None
        self._download()
        return self._reader.read(block_ids)

    def prefetch(self, block_ids: np.ndarray) -> None:
        """Start to read blocks that a later call of `rows` with the same ids will ask for."""
        if self.is_partial:
            self._reader.prefetch(block_ids)

    def _fetch_all(self) -> None:
        if not self.is_partial:
            return
        self._files.fetch_all()
        for number, shard in enumerate(self.manifest.shards):
            if self._whole[number] is None:
                self._whole[number] = self._files.map_whole(shard).ids

    def _download(self) -> None:
        """Start the thread that downloads whole shards, once in each process."""
        if self._downloading == os.getpid():
            return
        self._downloading = os.getpid()
        threading.Thread(
            target=download_shards,
            args=(self._files, self._whole, self._stopped),
            name="mlmfast-download",
            daemon=True,
        ).start()

    def _read_range(self, start: int, stop: int) -> np.ndarray:
        return self._read_rows(np.arange(start, stop))

    def _read_rows(self, rows: np.ndarray) -> np.ndarray:
        return self._reader.read(rows.astype(np.uint64))


def open_remote_splits(url: str) -> dict[str, RemoteStore]:
    """Open the store at a URL, or its splits, as `mlmfast.data.store.store.open_splits` does.

    Raises:
        StoreError: There is no block store, or it is damaged.
        InputError: It cannot be accessed.
    """
    return {split: RemoteStore(each) for split, each in split_urls(url).items()}


def split_urls(url: str) -> dict[str, str]:
    """Return the URLs of the stores at a URL by split.

    Raises:
        StoreError: There is no block store.
        InputError: The URL cannot be accessed.
    """
    url = url.rstrip("/")
    if _exists(f"{url}/{MANIFEST_FILE}"):
        return {"train": url}
    splits = [split for split in ("train", "test") if _exists(f"{url}/{split}/{MANIFEST_FILE}")]
    if "train" not in splits:
        raise StoreError(
            f"There is no block store at {shown(url)!r}: neither {MANIFEST_FILE} nor "
            f"train/{MANIFEST_FILE}."
        )
    return {split: f"{url}/{split}" for split in splits}


def _exists(url: str) -> bool:
    try:
        return look_up(url) is not None
    except NotFoundError:
        return False


def _reopen(url: str, fingerprint: str, cache_size: int | str | None) -> RemoteStore:
    store = RemoteStore(url, cache_size)
    if store.fingerprint != fingerprint:
        raise StoreError(
            f"The block store {shown(url)!r} was replaced by another one after it had been opened. "
            "Begin again, with the one that is there now or with one that stays."
        )
    return store


def _close(stopped: threading.Event, reader: RowReader) -> None:
    stopped.set()
    reader.close()
