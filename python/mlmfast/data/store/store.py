"""The block store: token blocks of one length, in a folder that `datasets` can open too."""

from __future__ import annotations

import operator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlmfast.data.store.damage import find_damage, verify_bar
from mlmfast.data.store.document_numbers import number_documents, starts_of
from mlmfast.data.store.folder import store_folders
from mlmfast.data.store.manifest import COLUMN, STARTS, Manifest, changed_message
from mlmfast.data.store.shard_file import map_shard, starts_column
from mlmfast.data.tokenization.load import LoadedTokenizer, load_tokenizer
from mlmfast.errors import InputError, MissingDependencyError, NotFoundError, StoreError
from mlmfast.fs.checksums import file_sha256
from mlmfast.fs.paths import as_path
from mlmfast.fs.remote.urls import is_url

if TYPE_CHECKING:
    from collections.abc import Sequence


class BlockStore:
    """Blocks of token ids on disk, mapped into memory: a block is read when it is used.

    `len(store)` is the number of blocks N; L is `store.manifest.block_size`. Ids are uint16 where
    the vocabulary has 65,536 tokens at most, else uint32. A store pickles as its path and its
    fingerprint, which makes it cheap to send to DataLoader workers and other processes.
    """

    columns = (COLUMN,)

    def __init__(self, path: str | Path) -> None:
        """Open the store at `path`; the same as `BlockStore.open(path)`, but not at URLs."""
        if is_url(path):
            raise InputError(f"BlockStore.open opens {path!r}; BlockStore() is for folders.")
        self.path = as_path(path)
        if not self.path.exists():
            raise NotFoundError(f"There is no block store {str(path)!r}: no such folder.")
        self.manifest = Manifest.read(self.path)
        _check_tokenizer(self.path, self.manifest)
        mapped = [
            map_shard(self.path, shard, self.manifest.block_size) for shard in self.manifest.shards
        ]
        self._shards = [shard.ids for shard in mapped]
        self._document_starts = tuple(shard.starts for shard in mapped if shard.starts is not None)
        if len(self._document_starts) != self.manifest.document_starts * len(mapped):
            raise StoreError(
                f"{str(self.path)!r} is damaged: its manifest and its shards disagree about the "
                f"column {STARTS!r}. Copy it again, or prepare the store again."
            )
        counts = [len(shard) for shard in self._shards]
        self._starts = np.cumsum([0, *counts])

    @classmethod
    def open(cls, path: str | Path, *, cache_size: int | str | None = None) -> BlockStore:
        """Open the store at `path`.

        Args:
            path: The folder, or a URL such as "s3://bucket/blocks/train".
            cache_size: Of the cache for stores at URLs, bytes or a text such as "50GB"; None for
                that of the variable MLMFAST_CACHE_SIZE, or 10 GB.

        Raises:
            NotFoundError: There is no such folder.
            StoreError: It is not a block store, or it is damaged or of another format version.
            InputError: The URL cannot be accessed.
        """
        if is_url(path):
            from mlmfast.data.store.remote.store import RemoteStore

            return RemoteStore(str(path), cache_size)
        return cls(path)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __repr__(self) -> str:
        return f"BlockStore({str(self.path)!r}, {len(self):,} blocks of {self.block_size} tokens)"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (str(self.path), self.fingerprint)

    @property
    def location(self) -> str:
        """Where the store is: its folder, or its URL."""
        return str(self.path)

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
        return self._shards[0].dtype

    @property
    def shards(self) -> Sequence[np.ndarray]:
        """The shards as read-only arrays `[n, L]` over the mapped files, without a copy."""
        return tuple(self._shards)

    @property
    def is_partial(self) -> bool:
        """Whether some blocks are not in files of this machine, so that `rows` returns them."""
        return False

    def rows(self, block_ids: np.ndarray) -> np.ndarray | None:
        """Return blocks, `[B, L]`, of a store whose files are not all on this machine; else None.

        Args:
            block_ids: uint64 `[B]`, each less than the number of blocks.
        """
        return None

    def prefetch(self, block_ids: np.ndarray) -> None:
        """Say which blocks the next call of `rows` but some will ask for."""

    @property
    def document_starts(self) -> Sequence[tuple[np.ndarray, np.ndarray]] | None:
        """Where documents begin in the blocks of each shard; None if the store does not know.

        Block `b` of a shard has `starts[offsets[b]:offsets[b + 1]]` of its (offsets, starts),
        read-only int32 arrays `[n + 1]` and `[D]` over the mapped file: positions in the block,
        ascending, at which a document begins. The first is 0, where a document begins or goes on.
        """
        return self._document_starts if self.manifest.document_starts else None

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
            self._shards, self._document_starts, block_ids, out, self.manifest,
            name=str(self.path), threads=threads,
        )  # fmt: skip

    def document_ids_of(
        self, rows: np.ndarray, block_ids: np.ndarray, *, out: np.ndarray, threads: int | None
    ) -> np.ndarray:
        """Number the documents of blocks that `rows` has returned; else as `document_ids`."""
        self.check_document_starts()
        starts = starts_of(block_ids, self._starts, self._document_starts)
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
                return self._read_range(start, max(start, stop))
            return self._read_rows(np.arange(start, stop, step))
        if isinstance(key, list | tuple | np.ndarray) or hasattr(key, "__array__"):
            rows = np.asarray(key)
            if rows.ndim:
                return self._read_rows(self._to_block_ids(rows))
        row = operator.index(key)
        return self._read_rows(self._to_block_ids(np.array([row])))[0]

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
            for shard in self._shards
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
        return load_from_disk(str(self.path))

    def verify(self, *, progress: bool = False) -> None:
        """Read every file of the store, and compare it with the manifest.

        Opening a store compares the manifest, the tokenizer, and the headers and ends of the shards
        only; this compares all bytes.

        Args:
            progress: Show a progress bar on standard error.

        Raises:
            StoreError: Files were changed after they were written, or are missing; it names all.
        """
        with verify_bar(self.manifest, enabled=progress) as advance:
            damage = find_damage(self.path, self.manifest, advance)
        if damage:
            raise StoreError(" ".join(damage))

    def _to_block_ids(self, rows: np.ndarray) -> np.ndarray:
        if rows.dtype == bool:
            if rows.shape != (len(self),):
                raise IndexError(
                    f"an array of booleans must have one for each of the {len(self)} blocks; "
                    f"got shape {rows.shape}"
                )
            return np.flatnonzero(rows)
        if rows.size == 0:
            return np.empty(0, np.int64)
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise TypeError(
                "blocks are chosen by whole numbers in one dimension; "
                f"got {rows.dtype} of shape {rows.shape}"
            )
        numbers = rows.astype(np.int64)
        outside = (numbers >= len(self)) | (numbers < -len(self))
        if outside.any():
            raise IndexError(f"block {numbers[outside][0]} of a store of {len(self)} blocks")
        return np.where(numbers < 0, numbers + len(self), numbers)

    def _read_range(self, start: int, stop: int) -> np.ndarray:
        out = np.empty((stop - start, self.block_size), self.dtype)
        for first, shard in zip(self._starts, self._shards, strict=False):
            low, high = max(start, first), min(stop, first + len(shard))
            if low < high:
                out[low - start : high - start] = shard[low - first : high - first]
        return out

    def _read_rows(self, rows: np.ndarray) -> np.ndarray:
        if len(self._shards) == 1:
            return self._shards[0][rows]
        out = np.empty((len(rows), self.block_size), self.dtype)
        shard_of = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(shard_of):
            inside = shard_of == number
            out[inside] = self._shards[number][rows[inside] - self._starts[number]]
        return out


def _reopen(path: str, fingerprint: str) -> BlockStore:
    store = BlockStore(path)
    if store.fingerprint != fingerprint:
        raise StoreError(
            f"The block store {path!r} was replaced by another one after it had been opened. "
            "Begin again, with the one that is there now or with one that stays."
        )
    return store


def _check_tokenizer(folder: Path, manifest: Manifest) -> None:
    """Raise StoreError unless the store's tokenizer is the one that its blocks were made with."""
    for name, checksum in manifest.tokenizer_files.items():
        path = folder / name
        if not path.is_file() or file_sha256(path) != checksum:
            raise StoreError(changed_message(path))


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
        from mlmfast.data.store.remote.store import open_remote_splits

        return dict(open_remote_splits(str(path)))
    folders = store_folders(as_path(path))
    if not folders:
        return {"train": BlockStore(path)}  # raises: its message says what the folder holds
    return {name: BlockStore(folder) for name, folder in folders.items()}
