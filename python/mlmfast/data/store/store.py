"""The block store: token blocks of one length, in a folder that `datasets` can open too."""

from __future__ import annotations

import operator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlmfast.data.store.chosen_blocks import chosen_blocks
from mlmfast.data.store.damage import find_damage, verify_bar
from mlmfast.data.store.document_numbers import number_documents, starts_of
from mlmfast.data.store.folder import store_folders
from mlmfast.data.store.manifest import COLUMN, STARTS
from mlmfast.data.store.remote.shards import RemoteShards
from mlmfast.data.store.remote.splits import split_urls
from mlmfast.data.store.shard_file import starts_column
from mlmfast.data.store.shards import open_shards
from mlmfast.data.tokenization.load import LoadedTokenizer, load_tokenizer
from mlmfast.errors import InputError, MissingDependencyError, StoreError
from mlmfast.fs.paths import as_path
from mlmfast.fs.remote.urls import is_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.data.store.shards import Shards


class BlockStore:
    """Blocks of token ids on disk, mapped into memory: a block is read when it is used.

    `len(store)` is the number of blocks N; L is `store.manifest.block_size`. Ids are uint16 where
    the vocabulary has 65,536 tokens at most, else uint32. A store pickles as its path and its
    fingerprint, which makes it cheap to send to DataLoader workers and other processes.
    """

    columns = (COLUMN,)

    def __init__(self, path: str | Path, *, cache_size: int | str | None = None) -> None:
        """Open the store at `path`; the same as `BlockStore.open`, which has the details."""
        self._cache_size = cache_size
        remote = is_url(path)
        self._hold(RemoteShards(str(path), cache_size) if remote else open_shards(as_path(path)))

    def _hold(self, shards: Shards) -> None:
        self._shards = shards
        self.path = shards.folder
        self.manifest = shards.manifest

    @classmethod
    def open(cls, path: str | Path, *, cache_size: int | str | None = None) -> BlockStore:
        """Open the store at `path`.

        A store at a URL can be used at once. Its blocks are read from there while its files are
        downloaded into a cache, as far as that has room; `path` is then its folder in the cache.

        Args:
            path: The folder, or a URL such as "s3://bucket/blocks/train".
            cache_size: Of the cache for stores at URLs, bytes or a text such as "50GB"; None for
                that of the variable MLMFAST_CACHE_SIZE, or 10 GB.

        Raises:
            NotFoundError: There is no such folder.
            StoreError: It is not a block store, or it is damaged or of another format version.
            InputError: The URL cannot be accessed.
        """
        return cls(path, cache_size=cache_size)

    def __len__(self) -> int:
        return len(self._shards)

    def __repr__(self) -> str:
        return f"BlockStore({self.location!r}, {len(self):,} blocks of {self.block_size} tokens)"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self._shards.address, self.fingerprint, self._cache_size)

    @property
    def location(self) -> str:
        """Where the store is: its folder, or its URL."""
        return self._shards.location

    @property
    def fingerprint(self) -> str:
        """Hash of the blocks and of what their ids mean: equal stores have equal fingerprints.

        Unpickling a store, in a DataLoader worker or another process, checks that the fingerprint
        is still the same.
        """
        return self.manifest.fingerprint

    @cached_property
    def tokenizer(self) -> LoadedTokenizer:
        """The tokenizer that the blocks were made with, loaded from the store when first used.

        Raises:
            InputError: The store's tokenizer cannot be read.
            MissingDependencyError: It has no tokenizer.json, and transformers is not installed.
        """
        return load_tokenizer(self.path)

    @property
    def block_size(self) -> int:
        """Tokens in a block."""
        return self.manifest.block_size

    @property
    def dtype(self) -> np.dtype:
        """Type of the ids, uint16 or uint32."""
        return self._shards.dtype

    @property
    def shards(self) -> Sequence[np.ndarray]:
        """The shards as read-only arrays `[n, L]` over the mapped files, without a copy.

        Raises:
            InputError: The store is at a URL, and the cache is too small for all of it.
        """
        return tuple(self._shards.arrays)

    @property
    def is_partial(self) -> bool:
        """Whether some blocks are not in files of this machine, so that `rows` returns them."""
        return self._shards.is_partial

    def rows(self, block_ids: np.ndarray) -> np.ndarray | None:
        """Return blocks, `[B, L]`, of a store whose files are not all on this machine; else None.

        Args:
            block_ids: uint64 `[B]`, each less than the number of blocks.

        Raises:
            InputError: The URL cannot be accessed.
        """
        return self._shards.rows(block_ids)

    def prefetch(self, block_ids: np.ndarray) -> None:
        """Start to read blocks that a later call of `rows` with the same ids will ask for."""
        self._shards.prefetch(block_ids)

    @property
    def document_starts(self) -> Sequence[tuple[np.ndarray, np.ndarray]] | None:
        """Where documents begin in the blocks of each shard; None if the store does not know.

        Block `b` of a shard has `starts[offsets[b]:offsets[b + 1]]` of its (offsets, starts),
        read-only int32 arrays `[n + 1]` and `[D]` over the mapped file: positions in the block,
        ascending, at which a document begins. The first is 0, where a document begins or goes on.
        """
        return self._shards.document_starts if self.manifest.document_starts else None

    def check_document_starts(self) -> None:
        """Raise InputError if the store does not know where documents begin."""
        if not self.manifest.document_starts:
            raise InputError(
                f"The block store {self.location!r} does not say where documents begin: prepare "
                "it again from its text, with this version of mlmfast."
            )

    def document_ids(
        self, block_ids: np.ndarray, *, out: np.ndarray | None = None, threads: int | None = None
    ) -> np.ndarray:
        """Number the documents of blocks, position by position.

        Args:
            block_ids: uint64 `[B]`.
            out: An array int32 `[B, L]` to write to; None for a new one.
            threads: Threads at most; None for as many as are worth it.

        Returns:
            int32 `[B, L]`: 0, 1, 2 ... by the documents of each block, and -1 on the padding at its
            end, as `mlmfast.block_diagonal_mask` expects them.

        Raises:
            IndexError: The store has no such block.
            InputError: The store does not know where documents begin.
            StoreError: The document starts are damaged.
        """
        self.check_document_starts()
        if len(block_ids) and int(block_ids.max()) >= len(self):
            raise IndexError(f"block {block_ids.max()} of a store of {len(self)} blocks")
        if out is None:
            out = np.empty((len(block_ids), self.block_size), np.int32)
        return self._number_documents(block_ids, out, threads)

    def _number_documents(
        self, block_ids: np.ndarray, out: np.ndarray, threads: int | None
    ) -> np.ndarray:
        """Write to `out` what `document_ids` returns, of blocks that there are."""
        rows = self.rows(block_ids)
        if rows is not None:
            return self.document_ids_of(rows, block_ids, out=out, threads=threads)
        return number_documents(
            self._shards.arrays, self._shards.document_starts, block_ids, out, self.manifest,
            name=str(self.path), threads=threads,
        )  # fmt: skip

    def document_ids_of(
        self, rows: np.ndarray, block_ids: np.ndarray, *, out: np.ndarray, threads: int | None
    ) -> np.ndarray:
        """Number the documents of blocks that `rows` has returned; else as `document_ids`."""
        self.check_document_starts()
        starts = starts_of(block_ids, self._shards.first_blocks, self._shards.document_starts)
        numbers = np.arange(len(rows), dtype=np.uint64)
        return number_documents(
            [rows], [starts], numbers, out, self.manifest, name=str(self.path), threads=threads
        )

    def __getitem__(self, key: Any) -> np.ndarray:
        """Return one block as an array `[L]`, or those of a slice, list or array as `[n, L]`.

        The result is a copy. An array of booleans is a mask over all blocks.
        """
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step == 1:
                return self._shards.read_range(start, max(start, stop))
            return self._shards.read(np.arange(start, stop, step))
        if isinstance(key, list | tuple | np.ndarray) or hasattr(key, "__array__"):
            rows = np.asarray(key)
            if rows.ndim:
                return self._shards.read(chosen_blocks(rows, len(self)))
        row = operator.index(key)
        return self._shards.read(chosen_blocks(np.array([row]), len(self)))[0]

    def __getitems__(self, indices: Sequence[int]) -> np.ndarray:
        """Return the blocks of `indices` as `[n, L]`; a DataLoader calls this for a batch."""
        return self[list(indices)]

    def to_arrow(self, *, document_starts: bool = False) -> pa.Table:
        """Return a table over the mapped files; its column input_ids is FixedSizeList<ids>[L].

        Args:
            document_starts: Add the column of that name, List<int32>, if the store has it.
        """
        arrays = [
            pa.FixedSizeListArray.from_arrays(pa.array(shard.reshape(-1)), self.block_size)
            for shard in self.shards
        ]
        columns = {COLUMN: pa.chunked_array(arrays)}
        if document_starts and self.document_starts is not None:
            columns[STARTS] = pa.chunked_array(map(starts_column, self.document_starts))
        return pa.table(columns)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def to_datasets(self) -> Any:
        """Open the store as a `datasets.Dataset`."""
        try:
            from datasets import load_from_disk
        except ImportError as error:
            raise MissingDependencyError(
                "to_datasets() needs the package datasets: pip install 'mlmfast[train]'."
            ) from error
        self._shards.fetch()
        return load_from_disk(str(self.path))

    def verify(self, *, progress: bool = False) -> None:
        """Read every file of the store, and compare it with the manifest.

        Opening a store compares the manifest, the tokenizer, and the headers and ends of the shards
        only; this compares all bytes. Of a store at a URL, what the cache lacks is downloaded.

        Args:
            progress: Show a progress bar on standard error.

        Raises:
            StoreError: Files were changed after they were written, or are missing; it names all.
        """
        self._shards.fetch()
        with verify_bar(self.manifest, enabled=progress) as advance:
            damage = find_damage(self.path, self.manifest, advance)
        if damage:
            raise StoreError(" ".join(damage))


def _reopen(address: str, fingerprint: str, cache_size: int | str | None) -> BlockStore:
    store = BlockStore(address, cache_size=cache_size)
    if store.fingerprint != fingerprint:
        raise StoreError(
            f"The block store {store.location!r} was replaced by another one after it had been "
            "opened. Begin again, with the one that is there now or with one that stays."
        )
    return store


def open_splits(path: str | Path) -> dict[str, BlockStore]:
    """Open what `mlmfast prepare` wrote: {"train": ..., "test": ...}, or only {"train": ...}.

    Args:
        path: The folder, or a URL such as "s3://bucket/blocks".

    Raises:
        NotFoundError: There is no such folder.
        StoreError: It holds no block store, or a damaged one.
        InputError: The URL cannot be accessed.
    """
    if is_url(path):
        return {split: BlockStore(url) for split, url in split_urls(str(path)).items()}
    folders = store_folders(as_path(path))
    if not folders:
        return {"train": BlockStore(path)}  # raises: its message says what the folder holds
    return {name: BlockStore(folder) for name, folder in folders.items()}
