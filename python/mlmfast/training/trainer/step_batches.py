"""The batches of each optimizer step, for one process among several: `StepBatches`."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader

from mlmfast.data.loading.lookahead import Lookahead
from mlmfast.data.loading.sampler import BlockSampler
from mlmfast.data.store.store import open_splits
from mlmfast.errors import InputError
from mlmfast.runtime.prefetch import Prefetcher
from mlmfast.training.block_dataset import keep_batch
from mlmfast.training.datasets import MaskedBlocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mlmfast.data.loading.buffer_pool import Batch
    from mlmfast.data.loading.mixture.mixture import Mixture
    from mlmfast.data.store.store import BlockStore
    from mlmfast.training.block_dataset import BlockDataset
    from mlmfast.training.trainer.phases.sampler import PhaseSampler

# Batches to make ahead, beside those of the current step.
_PREFETCH = 2


class RankBatchSampler(BatchSampler):
    """Yields the block ids of a rank's batches, the same number of batches on every rank.

    Where the last global batch has fewer blocks than there are ranks, some ranks get an empty list,
    for which a `BlockDataset` returns a batch without labels: no rank waits for another in vain,
    and no block comes twice.
    """

    def __init__(self, sampler: BlockSampler | PhaseSampler, epoch: int = 0) -> None:
        self.block_sampler = sampler
        self.epoch = epoch

    def __len__(self) -> int:
        return self.block_sampler.global_batches

    def __iter__(self) -> Iterator[list[int]]:
        for number in range(len(self)):
            yield self.block_sampler.block_ids(number, self.epoch).tolist()


def rank_loader(blocks: BlockDataset, sampler: BlockSampler | PhaseSampler) -> DataLoader:
    """Return a data loader over one rank's share of the blocks."""
    # Starting a pass draws from the loader's generator; the global one is left to dropout.
    return DataLoader(
        blocks,
        batch_sampler=RankBatchSampler(sampler),
        collate_fn=keep_batch,
        generator=torch.Generator(),
    )


class StepBatches:
    """Makes the batches of a rank, epoch by epoch, and knows which blocks a step has.

    A step is an optimizer step of all ranks, counted from 0 at the start of the training. Its
    blocks are a pure function of (seed, step) and of the number of blocks in a step: any division
    into ranks, batches and accumulated batches trains on the same blocks under the same masks, and
    a training resumes at any step without reading what came before.

    `BlockLoader` counts batches instead, and may have none for a rank at the end of an epoch, where
    a training needs one without labels. Both make batches with `BatchMaker`, here through
    `MaskedBlocks`, so that subclasses of it can change what a training reads.

    Args:
        blocks: The blocks to train on.
        sampler: Divides their epochs into batches and among ranks.
        accumulated: Batches of a rank in an optimizer step.
        pin_memory: Put batches into pinned memory, for copies to a GPU that nothing waits for.

    Raises:
        InputError: The sampler drops the last global batch, and there is no other.
    """

    def __init__(
        self,
        blocks: MaskedBlocks,
        sampler: BlockSampler,
        accumulated: int,
        *,
        pin_memory: bool = False,
    ) -> None:
        if not sampler.global_batches:
            raise InputError(
                f"{blocks.store.path} has {sampler.blocks} blocks, and a batch of all processes "
                f"has {sampler.batch_size * sampler.world_size}: with dataloader_drop_last none is "
                "left."
            )
        self.blocks = blocks
        self.sampler = sampler
        self.accumulated = accumulated
        self._pin_memory = pin_memory
        self._epoch = 0
        self._iterator: Any = None
        self._positions = self._tokens = 0
        self._batches: Prefetcher[Batch] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in an epoch; the last may have fewer blocks."""
        return -(-self.sampler.global_batches // self.accumulated)

    @property
    def items_per_epoch(self) -> int:
        """Items of the data set that an epoch has."""
        global_batch = self.sampler.batch_size * self.sampler.world_size
        return min(self.sampler.global_batches * global_batch, self.sampler.blocks)

    def items_before(self, step: int) -> tuple[int, int]:
        """Return the epoch of a step, and how many items of that epoch come before it."""
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        global_batch = self.sampler.batch_size * self.sampler.world_size
        return epoch, step_in_epoch * self.accumulated * global_batch

    @property
    def fill_rate(self) -> float | None:
        """Share of the positions of the batches taken that are not padding; None before any."""
        return self._tokens / self._positions if self._positions else None

    def blocks_of(self, step: int) -> tuple[int, NDArray[np.uint64]]:
        """Return the epoch of a step, and the ids of its blocks on all ranks, in their order."""
        epoch, items = self.items_of(step)
        return epoch, self.blocks.block_ids(items, epoch)

    def items_of(self, step: int) -> tuple[int, NDArray[np.uint64]]:
        """Return the epoch of a step, and its items of the data set: blocks, or packed rows."""
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        all_ranks = self.sampler.all_ranks
        first = step_in_epoch * self.accumulated
        numbers = range(first, min(first + self.accumulated, self.sampler.global_batches))
        return epoch, np.concatenate([all_ranks.block_ids(number, epoch) for number in numbers])

    def advice(self, step: int) -> str:
        """Say how to make the batch of a step again, as a sentence."""
        blocks, sampler = self.blocks, self.sampler
        packed = "" if blocks.packing is None else ", pack_documents=True"
        store = str(blocks.store.path) if blocks.mixture is None else blocks.mixture
        batch_size = sampler.batch_size * sampler.world_size
        return (
            "To get the same batch again: "
            f"mlmfast.training.trainer.step_batches.step_batch({store!r}, {step}, "
            f"batch_size={batch_size}, accumulated={self.accumulated}, seed={blocks.seed}"
            f"{packed}). "
        )

    def loader(self) -> DataLoader:
        """Return the Trainer's view of an epoch: its length and data set, and its batches."""
        return rank_loader(self.blocks, self.sampler)

    def take(self, iterator: Any, count: int, step: int) -> list[Batch]:
        """Return the next `count` batches of the Trainer's pass over `loader()`.

        Args:
            iterator: The Trainer's own, a new one for each pass. It only marks the pass: nothing is
                read from it.
            count: Batches at most.
            step: The current step, at which the first pass starts.
        """
        if iterator is not self._iterator:
            if self._iterator is None:
                self._start(*divmod(step, self.steps_per_epoch))
            else:
                self._start(self._epoch + 1)
            self._iterator = iterator
        batches = list(islice(self._batches or (), count))
        for batch in batches:  # here, and not in `_make`, which several threads run at once
            self._count(batch)
        return batches

    def close(self) -> None:
        """End the thread that makes batches ahead."""
        if self._batches is not None:
            self._batches.close()
            self._batches = None

    def _start(self, epoch: int, step_in_epoch: int = 0) -> None:
        self.close()
        self._epoch = epoch
        self.blocks.set_epoch(epoch)
        numbers = range(step_in_epoch * self.accumulated, self.sampler.global_batches)
        self._lookahead = Lookahead(
            lambda number: self.sampler.block_ids(number, epoch), self.sampler.global_batches
        )
        self._batches = Prefetcher(self._make, numbers, self.accumulated + _PREFETCH)

    def _make(self, number: int) -> Batch:
        batch = self._make_batch(number)
        if not self._pin_memory:
            return batch
        return {name: tensor.pin_memory() for name, tensor in batch.items()}

    def _make_batch(self, number: int) -> Batch:
        if self.blocks.reads_ahead:
            self._lookahead.reach(number, self.blocks.prefetch)
        block_ids = self.sampler.block_ids(number, self._epoch)
        step = self._epoch * self.steps_per_epoch + number // self.accumulated
        return self.blocks.batch_at(step, block_ids.tolist())

    def _count(self, batch: Batch) -> None:
        attention, positions = batch.get("attention_mask"), batch["input_ids"].numel()
        self._positions += positions
        self._tokens += positions if attention is None else int(attention.sum())


def step_batch(
    store: BlockStore | Mixture | str | Path,
    step: int,
    *,
    batch_size: int,
    accumulated: int = 1,
    drop_last: bool = False,
    seed: int = 0,
    data_seed: int | None = None,
    steps: int = 1,
    **masks: Any,
) -> Batch:
    """Return what a training read at a step: the same blocks, in the same order, masked the same.

    Args:
        store: The store of the training, or its folder; of a folder with splits, `train` is read.
            Or the mixture of the training; the rows are then grouped by its stores.
        step: The optimizer step, counted from 0.
        batch_size: Blocks in a batch of all processes together.
        accumulated: `gradient_accumulation_steps` of the training.
        drop_last: `dataloader_drop_last` of the training.
        seed: `seed` of the training.
        data_seed: `data_seed` of the training, if it was given.
        steps: Optimizer steps of the whole training, if the mask rate changes over them.
        masks: The other arguments of `MaskedBlocks`: `mlm_probability` and so on, `pack_documents`,
            and `limit` for `max_train_samples`.

    Returns:
        `input_ids` and `labels`, int64 `[B, L]` with B the blocks of the step (or its rows of
        packed documents), and `attention_mask` if the store has padding.
    """
    opened = open_splits(store)["train"] if isinstance(store, str | Path) else store
    blocks = MaskedBlocks(opened, seed=seed, data_seed=data_seed, **masks)
    sampler = BlockSampler(
        blocks=len(blocks),
        batch_size=batch_size,
        rank=0,
        world_size=1,
        shuffle=blocks.mixture is None,
        drop_last=drop_last,
        seed=seed if data_seed is None else data_seed,
    )
    epoch, items = StepBatches(blocks, sampler, accumulated).items_of(step)
    blocks.set_epoch(epoch)
    blocks.schedule(steps)
    return blocks.batch_at(step, items.tolist())
