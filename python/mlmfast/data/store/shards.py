"""The shards of a block store: `Shards`, and those of a folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from mlmfast.data.store.manifest import STARTS, Manifest, changed_message
from mlmfast.data.store.shard_file import map_shard
from mlmfast.errors import NotFoundError, StoreError
from mlmfast.fs.checksums import file_sha256

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from mlmfast.data.store.document_numbers import Starts


class Shards(ABC):
    """N blocks of L tokens, in shards.

    Args:
        folder: Where they are, or what of them is on this machine.
        manifest: What describes them.
        blocks: The number of blocks in each shard.
    """

    def __init__(self, folder: Path, manifest: Manifest, blocks: Iterable[int]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.first_blocks = np.cumsum([0, *blocks])
        """The number of each shard's first block, and that of all blocks, `[S + 1]`."""

    def __len__(self) -> int:
        return int(self.first_blocks[-1])

    @property
    def address(self) -> str:
        """What opens them again: the folder, or the URL."""
        return str(self.folder)

    @property
    def location(self) -> str:
        """What messages call the place: the folder, or the URL without its secrets."""
        return str(self.folder)

    @property
    @abstractmethod
    def dtype(self) -> np.dtype:
        """Type of the ids, uint16 or uint32."""

    @property
    @abstractmethod
    def arrays(self) -> Sequence[np.ndarray]:
        """All shards, read-only arrays `[n, L]` over files of this machine."""

    @property
    @abstractmethod
    def document_starts(self) -> Sequence[Starts]:
        """Where documents begin in each shard; empty if it is not known."""

    @abstractmethod
    def read(self, block_ids: np.ndarray) -> np.ndarray:
        """Return a copy of blocks, `[B, L]`.

        Args:
            block_ids: Whole numbers `[B]`, from 0 to less than the number of blocks.
        """

    @abstractmethod
    def read_range(self, start: int, stop: int) -> np.ndarray:
        """Return a copy of the blocks from `start` to before `stop`, `[stop - start, L]`."""

    @property
    @abstractmethod
    def is_partial(self) -> bool:
        """Whether some are not on this machine, so that `rows` returns their blocks."""

    @abstractmethod
    def fetch(self) -> None:
        """Bring what is not on this machine."""

    @abstractmethod
    def rows(self, block_ids: np.ndarray) -> np.ndarray | None:
        """Return blocks, `[B, L]`, where some shards are not on this machine; else None.

        Args:
            block_ids: uint64 `[B]`, each less than the number of blocks.
        """

    @abstractmethod
    def prefetch(self, block_ids: np.ndarray) -> None:
        """Start to read blocks that a later call of `rows` with the same ids will ask for."""


class LocalShards(Shards):
    """Shards that are all on this machine, mostly mapped into memory.

    Args:
        folder: Where they are.
        manifest: What describes them.
        arrays: uint16 or uint32 `[n, L]`, one at least.
        document_starts: Where documents begin in each; empty if it is not known.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        arrays: Sequence[np.ndarray],
        document_starts: Sequence[Starts] = (),
    ) -> None:
        super().__init__(folder, manifest, map(len, arrays))
        self._arrays = tuple(arrays)
        self._document_starts = tuple(document_starts)

    @property
    def dtype(self) -> np.dtype:
        """Type of the ids, uint16 or uint32."""
        return self._arrays[0].dtype

    @property
    def arrays(self) -> Sequence[np.ndarray]:
        """The shards, `[n, L]`."""
        return self._arrays

    @property
    def document_starts(self) -> Sequence[Starts]:
        """Where documents begin in each shard; empty if it is not known."""
        return self._document_starts

    def read(self, block_ids: np.ndarray) -> np.ndarray:
        """Return a copy of blocks, `[B, L]`."""
        if len(self._arrays) == 1:
            return self._arrays[0][block_ids]
        out = np.empty((len(block_ids), self.manifest.block_size), self.dtype)
        shard_of = np.searchsorted(self.first_blocks, block_ids, side="right") - 1
        for number in np.unique(shard_of):
            inside = shard_of == number
            out[inside] = self._arrays[number][block_ids[inside] - self.first_blocks[number]]
        return out

    def read_range(self, start: int, stop: int) -> np.ndarray:
        """Return a copy of the blocks from `start` to before `stop`, `[stop - start, L]`."""
        out = np.empty((stop - start, self.manifest.block_size), self.dtype)
        for first, shard in zip(self.first_blocks, self._arrays, strict=False):
            low, high = max(start, first), min(stop, first + len(shard))
            if low < high:
                out[low - start : high - start] = shard[low - first : high - first]
        return out

    @property
    def is_partial(self) -> bool:
        """False: all are on this machine."""
        return False

    def fetch(self) -> None:
        """Do nothing: all are on this machine."""

    def rows(self, block_ids: np.ndarray) -> np.ndarray | None:
        """Return None: all are on this machine."""
        return None

    def prefetch(self, block_ids: np.ndarray) -> None:
        """Do nothing: all are on this machine."""


def open_shards(folder: Path) -> LocalShards:
    """Open the shards of a folder over the mapped files.

    Raises:
        NotFoundError: There is no such folder.
        StoreError: It is not a block store, or it is damaged or of another format version.
    """
    if not folder.exists():
        raise NotFoundError(f"There is no block store {str(folder)!r}: no such folder.")
    manifest = Manifest.read(folder)
    _check_tokenizer(folder, manifest)
    mapped = [map_shard(folder, shard, manifest.block_size) for shard in manifest.shards]
    starts = [shard.starts for shard in mapped if shard.starts is not None]
    if len(starts) != manifest.document_starts * len(mapped):
        raise StoreError(
            f"{str(folder)!r} is damaged: its manifest and its shards disagree about the "
            f"column {STARTS!r}. Copy it again, or prepare the store again."
        )
    return LocalShards(folder, manifest, [shard.ids for shard in mapped], starts)


def _check_tokenizer(folder: Path, manifest: Manifest) -> None:
    """Raise StoreError unless the store's tokenizer is the one that its blocks were made with."""
    for name, checksum in manifest.tokenizer_files.items():
        path = folder / name
        if not path.is_file() or file_sha256(path) != checksum:
            raise StoreError(changed_message(path))
