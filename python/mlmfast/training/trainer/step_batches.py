"""The blocks of each optimizer step, for one process among several: `BlockFeed`."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader

from mlmfast.data.loading.sampler import BlockSampler
from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.errors import InputError
from mlmfast.runtime.prefetch import Prefetcher
from mlmfast.training.datasets import MaskedBlocks, keep_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mlmfast.training.datasets import Batch, EvaluationBlocks, MaskedBlocks


# Batches to make ahead beside those of the step under way.
_AHEAD = 2


class RankBatchSampler(BatchSampler):
    """The numbers of the blocks in each of a rank's batches, as many batches as all ranks have.

    Where the last global batch has fewer blocks than there are ranks, some get an empty list, which
    `EvaluationBlocks` turns into a batch that asks for nothing: no rank waits for another in vain,
    and no block comes twice.
    """

    def __init__(self, plan: BlockSampler, epoch: int = 0) -> None:
        self.plan = plan
        self.epoch = epoch

    def __len__(self) -> int:
        return self.plan.global_batches

    def __iter__(self) -> Iterator[list[int]]:
        for number in range(len(self)):
            yield self.plan.block_ids(number, self.epoch).tolist()


def rank_loader(blocks: EvaluationBlocks, plan: BlockSampler) -> DataLoader:
    """A data loader over one rank's share of the blocks."""
    # A generator of its own: beginning a pass draws a number, which dropout must not notice.
    return DataLoader(
        blocks,
        batch_sampler=RankBatchSampler(plan),
        collate_fn=keep_batch,
        generator=torch.Generator(),
    )


class StepBatches:
    """Gives out a rank's batches, pass after pass, and knows which blocks a step has.

    The blocks of a step are a function of (seed, step) and of the number of blocks in a step of all
    ranks together: any division into ranks, batches and accumulated batches gives the same blocks
    under the same masks, and a training goes on at any step without reading what came before.

    Args:
        blocks: what to train on.
        plan: how its epochs are dealt to batches and ranks.
        accumulated: batches of a rank in an optimizer step.
        pin: put batches into pinned memory, from where a GPU fetches them without being waited for.

    Raises:
        InputError: there is no whole batch, and the last one is left out where it is not full.
    """

    def __init__(
        self,
        blocks: MaskedBlocks,
        plan: BlockSampler,
        accumulated: int,
        *,
        pin: bool = False,
    ) -> None:
        if not plan.global_batches:
            raise InputError(
                f"{blocks.store.path} has {plan.blocks} blocks, and a batch of all processes has "
                f"{plan.batch_size * plan.world_size}: with dataloader_drop_last none is left."
            )
        self.blocks = blocks
        self.plan = plan
        self.accumulated = accumulated
        self._pin = pin
        self._epoch = 0
        self._begun_for: Any = None
        self._batches: Prefetcher[Batch] | None = None

    @property
    def steps_an_epoch(self) -> int:
        """Optimizer steps of a pass; the last may have fewer blocks."""
        return -(-self.plan.global_batches // self.accumulated)

    @property
    def blocks_a_step(self) -> int:
        """Blocks of a whole optimizer step, those of all ranks together."""
        return self.plan.batch_size * self.plan.world_size * self.accumulated

    def of_step(self, step: int) -> tuple[int, NDArray[np.uint64]]:
        """The epoch of a step, counted from 0, and its blocks on all ranks, in their order."""
        epoch, update = divmod(step, self.steps_an_epoch)
        whole = replace(
            self.plan, batch_size=self.plan.batch_size * self.plan.world_size, rank=0, world_size=1
        )
        first = update * self.accumulated
        numbers = range(first, min(first + self.accumulated, self.plan.global_batches))
        return epoch, np.concatenate([whole.block_ids(number, epoch) for number in numbers])

    def loader(self) -> DataLoader:
        """The Trainer's view of an epoch: its length, its data set, its batches for who looks."""
        return rank_loader(self.blocks, self.plan)

    def take(self, iterator: Any, count: int, step: int) -> list[Batch]:
        """Give the next `count` batches of the pass that the Trainer makes.

        Args:
            iterator: the Trainer's own over `loader()`, a new one for each pass; nothing is read
                from it.
            count: batches at most.
            step: optimizer steps before this one, where the first pass begins.
        """
        if iterator is not self._begun_for:
            first_pass = self._begun_for is None
            epoch, update = divmod(step, self.steps_an_epoch)
            self._begin(*((epoch, update) if first_pass else (self._epoch + 1, 0)))
            self._begun_for = iterator
        return list(islice(self._batches or (), count))

    def close(self) -> None:
        """End the thread that makes batches ahead."""
        if self._batches is not None:
            self._batches.close()
            self._batches = None

    def _begin(self, epoch: int, update: int) -> None:
        self.close()
        self._epoch = epoch
        self.blocks.set_epoch(epoch)
        numbers = range(update * self.accumulated, self.plan.global_batches)
        self._batches = Prefetcher(self._make, numbers, self.accumulated + _AHEAD)

    def _make(self, number: int) -> Batch:
        ids = self.plan.block_ids(number, self._epoch)
        step = self._epoch * self.steps_an_epoch + number // self.accumulated
        batch = self.blocks.of_step(ids.tolist(), step)
        if not self._pin:
            return batch
        return {name: tensor.pin_memory() for name, tensor in batch.items()}


def step_batch(
    store: BlockStore | str | Path,
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
    """Give what a training read at a step: the same blocks in the same order, masked the same.

    Args:
        store: what was trained on; of a folder with splits, `train`.
        step: the optimizer step, counted from 0.
        batch_size: blocks of a batch, those of all processes together.
        accumulated: `gradient_accumulation_steps`.
        drop_last: `dataloader_drop_last`.
        seed: of the training.
        data_seed: of the blocks' order, where it was given.
        steps: of the whole training, where the mask rate changes over them.
        masks: `mlm_probability` and so on, and `limit` for `max_train_samples`; as of
            `MaskedBlocks`.

    Returns:
        `input_ids` and `labels`, int64 `[B, L]` with B the blocks of the step, and
        `attention_mask` if the store has padding.
    """
    opened = store if isinstance(store, BlockStore) else open_splits(store)["train"]
    blocks = MaskedBlocks(opened, seed=seed, **masks)
    plan = BlockSampler(
        blocks=len(blocks),
        batch_size=batch_size,
        rank=0,
        world_size=1,
        shuffle=True,
        drop_last=drop_last,
        seed=seed if data_seed is None else data_seed,
    )
    epoch, ids = StepBatches(blocks, plan, accumulated).of_step(step)
    blocks.set_epoch(epoch)
    blocks.schedule(steps)
    return blocks.of_step(ids.tolist(), step)
