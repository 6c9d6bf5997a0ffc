"""Which blocks a rank's batch holds, as a pure function of its number: `BlockSampler`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

# The most batches whose blocks are sorted by length together, as in transformers' own sampler.
GROUPED = 50


@dataclass(frozen=True)
class BlockSampler:
    """Divides an epoch's blocks into batches and among ranks, in memory that does not grow with N.

    Global batch g starts at `g * batch_size * world_size` of the epoch's order and is divided among
    the ranks, in their order. Only the last global batch may be smaller; its blocks are divided as
    evenly as possible (shares differ by one at most), so that nothing is padded, repeated or left
    out.

    Attributes:
        blocks: Number of blocks N.
        batch_size: Blocks in a rank's batch.
        rank: The rank of this process, from 0 on.
        world_size: Number of processes.
        shuffle: Whether the order is a permutation, new in each epoch, or 0 to N - 1.
        drop_last: Whether the last global batch is dropped if it is not full.
        seed: Seed of the order.
        lengths: Length of each block, `[N]`, to put blocks of similar lengths into the same batch:
            the random order is cut into windows of up to 50 batches, and each window is sorted from
            the longest block to the shortest. None keeps the random order.
    """

    blocks: int
    batch_size: int
    rank: int
    world_size: int
    shuffle: bool
    drop_last: bool
    seed: int
    lengths: NDArray[np.integer] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {self.batch_size}")
        if self.world_size < 1 or not 0 <= self.rank < self.world_size:
            raise InputError(
                f"rank must be between 0 and world_size - 1, got rank {self.rank} of "
                f"world_size {self.world_size}"
            )

    @property
    def all_ranks(self) -> Self:
        """The sampler of one process whose batches are those of all ranks together."""
        size = self.batch_size * self.world_size
        return replace(self, batch_size=size, rank=0, world_size=1)

    @property
    def global_batches(self) -> int:
        """Number of global batches in an epoch."""
        full, rest = divmod(self.blocks, self.batch_size * self.world_size)
        return full + (rest > 0 and not self.drop_last)

    def __len__(self) -> int:
        """Number of this rank's batches in an epoch; the last global batch may have none for it."""
        batches = self.global_batches
        start, stop = self._range(batches - 1) if batches else (0, 1)
        return batches - (start == stop)

    def block_ids(self, batch: int, epoch: int) -> NDArray[np.uint64]:
        """Return the ids of the blocks in this rank's batch number `batch`, uint64."""
        from mlmfast import _core

        start, stop = self._range(batch)
        if not self.shuffle:
            return np.arange(start, stop, dtype=np.uint64)
        if self.lengths is None or start == stop:
            return _core.permutation(self.blocks, start, stop, seed=self.seed, epoch=epoch)
        size = self._window
        first = start // size * size
        ids = _core.permutation(
            self.blocks, first, min(first + size, self.blocks), seed=self.seed, epoch=epoch
        )
        ids = ids[np.argsort(-self.lengths[ids].astype(np.int64), kind="stable")]
        return ids[start - first : stop - first]

    @property
    def _window(self) -> int:
        """Number of blocks that are sorted by length together."""
        global_batch = self.batch_size * self.world_size
        return max(min(self.blocks // (global_batch * 4), GROUPED), 1) * global_batch

    def _range(self, batch: int) -> tuple[int, int]:
        first = batch * self.batch_size * self.world_size
        size = min(self.batch_size * self.world_size, self.blocks - first)
        return (
            first + size * self.rank // self.world_size,
            first + size * (self.rank + 1) // self.world_size,
        )
