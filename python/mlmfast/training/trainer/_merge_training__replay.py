"""The batch of a training's step again, to look into what went wrong there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.data.loading.sampler import EpochPlan
from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.training.datasets import MaskedBlocks
from mlmfast.training.trainer.step_batches import BlockFeed

if TYPE_CHECKING:
    from mlmfast.training.datasets import Batch


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
    plan = EpochPlan(
        blocks=len(blocks),
        batch_size=batch_size,
        rank=0,
        world_size=1,
        shuffle=True,
        drop_last=drop_last,
        seed=seed if data_seed is None else data_seed,
    )
    epoch, ids = BlockFeed(blocks, plan, accumulated).of_step(step)
    blocks.set_epoch(epoch)
    blocks.schedule(steps)
    return blocks.of_step(ids.tolist(), step)
