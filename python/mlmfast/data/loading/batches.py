"""Batches of an epoch as torch tensors, each made from its number alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlmfast.data.loading.block_masker import BlockMasker
    from mlmfast.data.loading.buffer_pool import BufferPool
    from mlmfast.data.loading.sampler import BlockSampler
    from mlmfast.data.masking.schedule import MaskRateSchedule

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class BatchMaker:
    """What batches are made of, and the form they come in.

    Attributes:
        masker: Reads and masks blocks.
        plan: Says which blocks.
        schedule: The mask rate by step, where it is not the masker's own.
        columns: The dense outputs.
        positions: Whether the chosen positions are given out.
        dtype: Of the dense outputs.
        pin_memory: Whether tensors are pinned.
        slots: Number of buffers that take turns; 0 for new ones each time.
        threads: Threads that mask one batch.
        pool: Where the memory of tensors comes from that are not pinned.
    """

    masker: BlockMasker
    plan: BlockSampler
    schedule: MaskRateSchedule | None
    columns: tuple[str, ...]
    positions: bool
    dtype: torch.dtype
    pin_memory: bool
    slots: int
    threads: int | None
    pool: BufferPool

    def of_epoch(self, epoch: int) -> Callable[[int], Batch]:
        """A function from a batch's number to the batch, for one pass."""
        ring = [self._buffers(self.plan.batch_size) for _ in range(self.slots)]

        def make(number: int) -> Batch:
            block_ids = self.plan.block_ids(number, epoch)
            rows = len(block_ids)
            if ring:
                whole = ring[number % len(ring)]
                dense = {name: tensor[:rows] for name, tensor in whole.items()}
            else:
                dense = self._buffers(rows)
            step = epoch * self.plan.global_batches + number
            positions, labels = self.masker.fill(
                block_ids,
                {name: tensor.numpy() for name, tensor in dense.items()},
                epoch=epoch,
                rate=None if self.schedule is None else self.schedule.rate(step),
                threads=self.threads,
            )
            if labels is not None:
                dense["labels"] = self._pinned(torch.from_numpy(labels))
            if self.positions:
                dense["positions"] = self._pinned(torch.from_numpy(positions))
            return dense

        return make

    def _buffers(self, rows: int) -> Batch:
        length = self.masker.store.block_size
        if self.pin_memory:  # torch keeps pinned memory itself, to use it again
            shape = (rows, length)
            return {
                name: torch.empty(shape, dtype=self.dtype, pin_memory=True) for name in self.columns
            }
        return {name: self.pool.take(rows, length, self.dtype) for name in self.columns}

    def _pinned(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.pin_memory() if self.pin_memory else tensor
