"""Single blocks of a store at a URL, read by byte ranges: `RowReader`."""

from __future__ import annotations

import os
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from mlmfast.fs.remote.reading import read_ranges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.data.store.remote.cached_files import CachedFiles

_GAP = 1 << 14
"""Bytes between two blocks that are rather read than left out by a second request."""
_MOST = 1 << 22
_BATCHES = 32
"""Batches that are kept before they are used."""
_THREADS = 4


class RowReader:
    """Reads blocks, from shards in the cache or from the URL, and those of batches to come ahead.

    May be used by several threads at once. A forked process starts with nothing read ahead.

    Args:
        files: The files of the store.
        dtype: Type of the ids, uint16 or uint32.
        whole: The shards `[n, L]` that are in the cache; None for the others. May change meanwhile.
    """

    def __init__(
        self, files: CachedFiles, dtype: np.dtype, whole: Sequence[np.ndarray | None]
    ) -> None:
        self._files = files
        self._dtype = dtype
        self._whole = whole
        self._starts = np.cumsum([0, *(shard.blocks for shard in files.manifest.shards)])
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._ahead: OrderedDict[bytes, Future[np.ndarray]] = OrderedDict()

    def prefetch(self, block_ids: np.ndarray) -> None:
        """Start to read blocks that a later call of `read` with the same ids will ask for."""
        if self._process != os.getpid():
            self._begin()
        key = block_ids.tobytes()
        with self._lock:
            if key in self._ahead:
                return
            if len(self._ahead) >= _BATCHES:  # of a pass that was left
                self._ahead.popitem(last=False)[1].cancel()
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="mlmfast-rows")
            self._ahead[key] = self._pool.submit(self._read, block_ids)

    def read(self, block_ids: np.ndarray) -> np.ndarray:
        """Return blocks as `[B, L]`, in any order and also several times.

        Args:
            block_ids: uint64 `[B]`, all less than the number of blocks.

        Raises:
            InputError: The store cannot be accessed.
        """
        if self._process != os.getpid():
            self._begin()
        with self._lock:
            ahead = self._ahead.pop(block_ids.tobytes(), None)
        # What failed ahead may have failed long ago.
        if ahead is None or ahead.exception() is not None:
            return self._read(block_ids)
        return ahead.result()

    def close(self) -> None:
        """Forget what was read ahead."""
        with self._lock:
            ahead = list(self._ahead.values())
            self._ahead.clear()
            pool, self._pool = self._pool, None
        for each in ahead:
            each.cancel()
        if pool is not None and self._process == os.getpid():
            pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, block_ids: np.ndarray) -> np.ndarray:
        wanted, inverse = np.unique(block_ids.astype(np.int64), return_inverse=True)
        shard_of = np.searchsorted(self._starts, wanted, side="right") - 1
        rows = np.empty((len(wanted), self._files.manifest.block_size), self._dtype)
        absent = np.ones(len(wanted), bool)
        for number in np.unique(shard_of).tolist():
            shard = self._whole[number]
            if shard is not None:
                inside = shard_of == number
                rows[inside] = shard[wanted[inside] - self._starts[number]]
                absent[inside] = False
        rows[absent] = self._read_ranges(wanted[absent], shard_of[absent])
        return rows[inverse.reshape(-1)]

    def _read_ranges(self, wanted: np.ndarray, shard_of: np.ndarray) -> np.ndarray:
        """Return blocks, in ascending order, from the URL."""
        manifest = self._files.manifest
        size = manifest.block_size * self._dtype.itemsize
        runs: list[tuple[int, int, int]] = []  # the shard, the first and the last block of a run
        for block, number in zip(wanted.tolist(), shard_of.tolist(), strict=True):
            near = runs and runs[-1][0] == number and (block - runs[-1][2] - 1) * size <= _GAP
            if near and (block - runs[-1][1]) * size < _MOST:
                runs[-1] = (number, runs[-1][1], block)
            else:
                runs.append((number, block, block))
        ranges = []
        for number, first, last in runs:
            shard = manifest.shards[number]
            before = shard.ids_start - int(self._starts[number]) * size
            ranges.append(
                (self._files.remote(shard), before + first * size, before + (last + 1) * size)
            )
        rows = np.empty((len(wanted), manifest.block_size), self._dtype)
        for (_, first, last), data in zip(runs, read_ranges(ranges), strict=True):
            inside = (wanted >= first) & (wanted <= last)
            part = np.frombuffer(data, self._dtype).reshape(-1, manifest.block_size)
            rows[inside] = part[wanted[inside] - first]
        return rows
