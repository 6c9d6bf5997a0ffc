"""The shards of a block store at a URL: `RemoteShards`."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

import numpy as np

from mlmfast.data.store.remote.background import download_shards
from mlmfast.data.store.remote.cached_files import CachedFiles
from mlmfast.data.store.remote.row_reader import RowReader
from mlmfast.data.store.shards import Shards
from mlmfast.fs.remote.urls import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.data.store.document_numbers import Starts


class RemoteShards(Shards):
    """The shards of a store at a URL, through a bounded cache on this machine.

    Blocks can be used at once: those of shards that are not in the cache are read from the URL,
    ahead for batches that are known to come. Meanwhile a thread downloads whole shards, compares
    them with their checksums, and they are read from the disk from then on. Where the cache has no
    room for all shards, the blocks of the others are read from the URL each time.

    `folder` is the folder in the cache, and `arrays` downloads what is missing.

    Args:
        url: The store, without splits.
        cache_size: Of the cache; see `BlockStore.open`.

    Raises:
        StoreError: It is no block store, or it is damaged.
        InputError: It cannot be accessed.
    """

    def __init__(self, url: str, cache_size: int | str | None = None) -> None:
        self._url = url
        self._files = files = CachedFiles(url, cache_size)
        manifest = files.manifest
        super().__init__(files.folder, manifest, (shard.blocks for shard in manifest.shards))
        self._dtype = np.dtype(np.uint16 if manifest.vocab_size <= 1 << 16 else np.uint32)
        self._whole: list[np.ndarray | None] = [
            files.map_whole(shard).ids if files.is_whole(shard) else None
            for shard in manifest.shards
        ]
        self._reader = RowReader(files, self._dtype, self._whole)
        self._stopped = threading.Event()
        self._downloading: int | None = None  # the process whose thread downloads
        self._found_starts: tuple[Starts, ...] | None = None
        weakref.finalize(self, _close, self._stopped, self._reader)

    @property
    def address(self) -> str:
        """The URL that opens them again."""
        return self._url

    @property
    def location(self) -> str:
        """The URL without its secrets."""
        return shown(self._url)

    @property
    def dtype(self) -> np.dtype:
        """Type of the ids, uint16 or uint32."""
        return self._dtype

    @property
    def arrays(self) -> Sequence[np.ndarray]:
        """The shards, read-only arrays `[n, L]` over files in the cache.

        Raises:
            InputError: The cache is too small for all, or the URL cannot be accessed.
            StoreError: A file differs from what was written.
        """
        self.fetch()
        return tuple(shard for shard in self._whole if shard is not None)

    @property
    def document_starts(self) -> Sequence[Starts]:
        """Where documents begin in each shard; of the others, nothing else is downloaded for it."""
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
        """Whether some are not in the cache, so that `rows` returns their blocks."""
        return any(shard is None for shard in self._whole)

    def fetch(self) -> None:
        """Download what is not in the cache; the errors are those of `arrays`."""
        if not self.is_partial:
            return
        self._files.fetch_all()
        for number, shard in enumerate(self.manifest.shards):
            if self._whole[number] is None:
                self._whole[number] = self._files.map_whole(shard).ids

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

    def read(self, block_ids: np.ndarray) -> np.ndarray:
        """Return blocks, `[B, L]`, from the cache or from the URL."""
        return self._reader.read(block_ids.astype(np.uint64))

    def read_range(self, start: int, stop: int) -> np.ndarray:
        """Return the blocks from `start` to before `stop`, `[stop - start, L]`."""
        return self.read(np.arange(start, stop))

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


def _close(stopped: threading.Event, reader: RowReader) -> None:
    stopped.set()
    reader.close()
