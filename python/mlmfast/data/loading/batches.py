"""Block ids to masked batches: `BatchMaker`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np

from mlmfast.data.loading.block_masker import DOCUMENT_IDS

if TYPE_CHECKING:
    from mlmfast.data.loading.block_masker import BlockMasker
    from mlmfast.data.loading.mixture.masker import MixtureMasker

Array = TypeVar("Array")


class Allocator(Protocol[Array]):
    """Where the arrays of a batch come from, and of which library they are."""

    def empty(self, rows: int, length: int, *, int32: bool = False) -> Array:
        """Return an array `[rows, length]` whose values are not set; `int32` chooses that type."""

    def as_numpy(self, array: Array) -> np.ndarray:
        """Return a numpy view of an array that `empty` returned."""

    def from_numpy(self, array: np.ndarray) -> Array:
        """Return a numpy array as an array of this library."""


class NumpyAllocator:
    """Batches of new numpy arrays, int64."""

    def empty(self, rows: int, length: int, *, int32: bool = False) -> np.ndarray:
        """Return an int64 or int32 array `[rows, length]` whose values are not set."""
        return np.empty((rows, length), np.int32 if int32 else np.int64)

    def as_numpy(self, array: np.ndarray) -> np.ndarray:
        """Return the array."""
        return array

    def from_numpy(self, array: np.ndarray) -> np.ndarray:
        """Return the array."""
        return array


@dataclass(frozen=True)
class BatchMaker(Generic[Array]):
    """Reads blocks of a store and masks them: the one place that turns block ids into a batch.

    A batch is a pure function of the block ids, the epoch and the mask rate. `make` may run in
    several threads at once.

    Attributes:
        masker: Reads and masks the blocks. For that of a mixture, block ids are its items.
        allocator: Allocates the batch's arrays.
        columns: The arrays `[B, L]` of a batch. `labels` may be left out; with `positions` a batch
            then holds the labels at the masked positions, `[M]`. `document_ids`, always int32,
            numbers the documents of each block; see `BlockStore.document_ids`.
        positions: Whether a batch holds the masked positions, int64 `[M]`, flat into `B * L`.
        threads: Threads at most that mask one batch; None for as many as are worth it.
    """

    masker: BlockMasker | MixtureMasker
    allocator: Allocator[Array]
    columns: tuple[str, ...]
    positions: bool = False
    threads: int | None = None

    def empty(self, rows: int) -> dict[str, Array]:
        """Allocate the arrays of a batch of `rows` blocks, `[rows, L]` each, by column."""
        length = self.masker.store.block_size
        return {
            name: self.allocator.empty(rows, length, int32=name == DOCUMENT_IDS)
            for name in self.columns
        }

    def prefetch(self, block_ids: np.ndarray, epoch: int) -> None:
        """Say of which blocks a batch will be made soon; stores at URLs load them meanwhile."""
        self.masker.prefetch(block_ids, epoch)

    def make(
        self,
        block_ids: np.ndarray,
        epoch: int,
        rate: float | None = None,
        *,
        out: dict[str, Array] | None = None,
    ) -> dict[str, Array]:
        """Make the batch of these blocks.

        Args:
            block_ids: uint64 `[B]`.
            epoch: The epoch whose masks are drawn.
            rate: The mask rate; None for that of the masker's options.
            out: Arrays of `B` rows to write to, as `empty` returns them; None for new ones.

        Returns:
            The arrays by name: `columns`, and `positions` (and `labels` `[M]`) where chosen.

        Raises:
            IndexError: The store has no such block.
            InputError: The epoch is out of range, or an id is outside of the vocabulary.
            StoreError: The document starts are damaged.
        """
        batch = self.empty(len(block_ids)) if out is None else dict(out)
        positions, labels = self.masker.fill(
            block_ids,
            {name: self.allocator.as_numpy(array) for name, array in batch.items()},
            epoch=epoch,
            rate=rate,
            threads=self.threads,
        )
        if labels is not None:
            batch["labels"] = self.allocator.from_numpy(labels)
        if self.positions:
            batch["positions"] = self.allocator.from_numpy(positions)
        return batch
