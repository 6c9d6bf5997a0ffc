"""The block store: token blocks of one length in a folder that `datasets` opens too."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlmfast.data.arrow_numpy import numpy_numbers
from mlmfast.data.manifest import MANIFEST_FILE, Manifest, Shard, file_sha256, frame_sha256
from mlmfast.data.tokenizer_files import FILE_NAMES
from mlmfast.errors import MissingDependencyError, NotFoundError, StoreError
from mlmfast.paths import as_path

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMN = "input_ids"


class BlockStore:
    """Blocks of token ids on disk, mapped into memory: nothing is read before it is asked for.

    `len(store)` is the number of blocks B; L is `store.manifest.block_size`. Ids are uint16 where
    the vocabulary has 65,536 tokens at most, else uint32. A store pickles as its path, so that it
    can be handed to DataLoader workers.
    """

    columns = (COLUMN,)

    def __init__(self, path: str | Path) -> None:
        """Open the store at `path`; the same as `BlockStore.open(path)`."""
        self.path = as_path(path)
        if not self.path.exists():
            raise NotFoundError(f"There is no block store {str(path)!r}: no such folder.")
        self.manifest = Manifest.read(self.path)
        self._shards = [
            _map_shard(self.path, shard, self.manifest.block_size) for shard in self.manifest.shards
        ]
        counts = [len(shard) for shard in self._shards]
        self._starts = np.cumsum([0, *counts])

    @classmethod
    def open(cls, path: str | Path) -> BlockStore:
        """Open the store at `path`.

        Raises:
            NotFoundError: There is no such folder.
            StoreError: It is no block store, or it is damaged or of another format version.
        """
        return cls(path)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __repr__(self) -> str:
        return f"BlockStore({str(self.path)!r}, {len(self):,} blocks of {self.block_size} tokens)"

    def __reduce__(self) -> tuple[Any, ...]:
        return BlockStore, (str(self.path),)

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
        """The shards as read-only arrays [n, L] that lie in the mapped files: no copy is made."""
        return tuple(self._shards)

    def __getitem__(self, key: Any) -> np.ndarray:
        """One block as an array [L], or the blocks of a slice, list or array as [n, L].

        What comes back is a copy of the caller's own. An array of booleans chooses by mask.
        """
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step == 1:
                return self._range(start, max(start, stop))
            return self._gather(np.arange(start, stop, step))
        if isinstance(key, list | tuple | np.ndarray) or hasattr(key, "__array__"):
            rows = np.asarray(key)
            if rows.ndim:
                return self._gather(self._row_numbers(rows))
        row = operator.index(key)
        return self._gather(self._row_numbers(np.array([row])))[0]

    def __getitems__(self, indices: Sequence[int]) -> np.ndarray:
        """Return the blocks of `indices` as [n, L]; a DataLoader calls this for a whole batch."""
        return self[list(indices)]

    def to_arrow(self) -> pa.Table:
        """Return a table over the mapped files; column input_ids is FixedSizeList<ids>[L]."""
        arrays = [
            pa.FixedSizeListArray.from_arrays(pa.array(shard.reshape(-1)), self.block_size)
            for shard in self._shards
        ]
        return pa.table({COLUMN: pa.chunked_array(arrays)})

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

    def to_tf_dataset(self, batch_size: int, **options: Any) -> Any:
        """Give the store as a `tf.data.Dataset` of masked batches; see `mlmfast.data.tf_dataset`.

        Raises:
            MissingDependencyError: TensorFlow is not installed.
            InputError: An option that cannot be.
        """
        from mlmfast.data.tf_dataset import tf_dataset

        return tf_dataset(self, batch_size, **options)

    def verify(self) -> None:
        """Read every shard and the tokenizer, and compare checksums with the manifest's.

        Opening a store has checked the manifest itself and the shards' headers already.

        Raises:
            StoreError: A file was changed after it was written.
        """
        tokenizer = self.path / "tokenizer.json"
        if not tokenizer.is_file() or file_sha256(tokenizer) != self.manifest.tokenizer_sha256:
            raise StoreError(
                f"{str(tokenizer)!r} was changed after it was written, or is gone: its checksum "
                "is not the manifest's. Prepare the store again."
            )
        for shard in self.manifest.shards:
            if file_sha256(self.path / shard.file) != shard.sha256:
                raise StoreError(
                    f"{str(self.path / shard.file)!r} was changed after it was written: its "
                    "checksum is not the manifest's. Prepare the store again."
                )

    def _row_numbers(self, rows: np.ndarray) -> np.ndarray:
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
        wrong = (numbers >= len(self)) | (numbers < -len(self))
        if wrong.any():
            raise IndexError(f"block {numbers[wrong][0]} of a store of {len(self)} blocks")
        return np.where(numbers < 0, numbers + len(self), numbers)

    def _range(self, start: int, stop: int) -> np.ndarray:
        out = np.empty((stop - start, self.block_size), self.dtype)
        for first, shard in zip(self._starts, self._shards, strict=False):
            low, high = max(start, first), min(stop, first + len(shard))
            if low < high:
                out[low - start : high - start] = shard[low - first : high - first]
        return out

    def _gather(self, rows: np.ndarray) -> np.ndarray:
        if len(self._shards) == 1:
            return self._shards[0][rows]
        out = np.empty((len(rows), self.block_size), self.dtype)
        where = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(where):
            chosen = where == number
            out[chosen] = self._shards[number][rows[chosen] - self._starts[number]]
        return out


def open_splits(path: str | Path) -> dict[str, BlockStore]:
    """Open what `mlmfast prepare` wrote: {"train": ..., "test": ...}, or {"train": ...} alone.

    Raises:
        NotFoundError: There is no such folder.
        StoreError: There is no block store in it, or one that is damaged.
    """
    folder = as_path(path)
    if not (folder / MANIFEST_FILE).exists() and folder.is_dir():
        found = {
            name: BlockStore(folder / name)
            for name in ("train", "test")
            if (folder / name / MANIFEST_FILE).exists()
        }
        if "train" in found:
            return found
    return {"train": BlockStore(folder)}


def is_store_folder(folder: Path) -> bool:
    """Whether all of `folder` is what `mlmfast prepare` writes: a store, or two side by side."""
    names = {entry.name for entry in folder.iterdir()}
    splits = names & {"train", "test"}
    if splits and not names - splits - {"dataset_dict.json"}:
        return all((folder / name).is_dir() and is_store_folder(folder / name) for name in splits)
    known = {MANIFEST_FILE, "dataset_info.json", "state.json", *FILE_NAMES}
    # `datasets` leaves its caches beside the data.
    return MANIFEST_FILE in names and all(
        name.endswith(".arrow") and name.startswith(("data-", "cache-")) for name in names - known
    )


def _map_shard(folder: Path, shard: Shard, block_size: int) -> np.ndarray:
    """Return the blocks of one shard as a read-only array [n, L] over the mapped file."""
    path = folder / shard.file
    if not path.is_file():
        raise StoreError(f"The block store {str(folder)!r} lacks its file {shard.file!r}.")
    size = path.stat().st_size
    if size != shard.bytes:
        raise StoreError(
            f"{str(path)!r} has {size:,} bytes, but {shard.bytes:,} were written: it was cut off "
            "or changed. Copy it again, or prepare the store again."
        )
    if shard.frame_sha256 and shard.frame_sha256 != frame_sha256(
        path, shard.ids_start, shard.ids_end
    ):
        raise StoreError(
            f"{str(path)!r} is damaged: its header was changed after it was written. Copy it "
            "again, or prepare the store again."
        )
    try:
        reader = pa.ipc.open_stream(pa.memory_map(str(path)))
        batches = list(reader)
        for batch in batches:
            batch.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StoreError(f"{str(path)!r} is damaged: {error}") from error
    kinds = {pa.list_(pa.uint16(), block_size), pa.list_(pa.uint32(), block_size)}
    if reader.schema.names != [COLUMN] or reader.schema.field(COLUMN).type not in kinds:
        raise StoreError(
            f"{str(path)!r} should hold one column {COLUMN!r} of {block_size} ids a row; "
            f"it holds {reader.schema.to_string(show_schema_metadata=False)!r}."
        )
    if len(batches) != 1 or len(batches[0]) != shard.blocks or batches[0].column(0).null_count:
        raise StoreError(
            f"{str(path)!r} should hold one record batch of {shard.blocks:,} blocks; "
            f"it holds {len(batches)} of {sum(map(len, batches)):,}."
        )
    ids = batches[0].column(0).flatten()
    return numpy_numbers(ids).reshape(-1, block_size)
