"""Which blocks a step has: the same for any division among processes and batches."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmfast.data.loading.sampler import BlockSampler
from mlmfast.data.store.store import open_splits
from mlmfast.errors import InputError
from mlmfast.training.datasets import MaskedBlocks
from mlmfast.training.trainer.step_batches import StepBatches


@pytest.fixture(scope="module")
def store(toy_blocks):
    return open_splits(toy_blocks)["train"]


def feed(store, batch, *, rank=0, world=1, accumulated=1, drop_last=False, limit=None):
    blocks = MaskedBlocks(store, limit=limit)
    sampler = BlockSampler(len(blocks), batch, rank, world, True, drop_last, 0)
    return StepBatches(blocks, sampler, accumulated)


def steps(feeds, *, begin=0, epochs=1):
    """What the feeds of all ranks give: for each step the rows of all its batches together."""
    first = feeds[0]
    found = []
    for epoch in range(begin // first.steps_per_epoch, epochs):
        passes = [object() for _ in feeds]
        start = begin % first.steps_per_epoch if not found else 0
        for step in range(start, first.steps_per_epoch):
            rows = []
            at = epoch * first.steps_per_epoch + step
            for one, iterator in zip(feeds, passes, strict=True):
                left = len(one.loader()) - step * one.accumulated
                batches = one.take(iterator, min(one.accumulated, left), at)
                assert len(batches) == min(one.accumulated, left)
                rows += [row for batch in batches for row in rows_of(batch)]
            found.append(Counter(rows))
    return found


def rows_of(batch):
    asking = (batch["labels"] != -100).any(1)
    both = torch.cat([batch["input_ids"], batch["labels"]], 1)[asking]
    return [tuple(row) for row in both.tolist()]


@settings(deadline=None, max_examples=40)
@given(
    limit=st.integers(1, 71),
    world=st.integers(1, 4),
    batch=st.integers(1, 6),
    accumulated=st.integers(1, 3),
)
def test_any_division_gives_the_same_steps(store, limit, world, batch, accumulated):
    """Blocks and masks of a step depend on the number of its blocks alone, to the last one."""
    size = {"limit": limit}
    alone = feed(store, batch * world * accumulated, **size)
    parts = [
        feed(store, batch, rank=rank, world=world, accumulated=accumulated, **size)
        for rank in range(world)
    ]
    assert steps(parts, epochs=2) == steps([alone], epochs=2)
    for step in range(2 * alone.steps_per_epoch):
        whole, part = alone.blocks_of(step), parts[0].blocks_of(step)
        assert whole[0] == part[0]
        assert sorted(whole[1]) == sorted(part[1])
    ids = [number for step in range(alone.steps_per_epoch) for number in alone.blocks_of(step)[1]]
    assert sorted(ids) == list(range(limit))


def test_a_pass_begun_in_the_middle_is_the_end_of_the_whole(store):
    whole = steps([feed(store, 8)], epochs=2)
    for begin in (1, 8, 9, 12):
        assert steps([feed(store, 8)], begin=begin, epochs=2) == whole[begin:]


def test_the_batch_that_is_not_full_can_be_left_out(store):
    one = feed(store, 8, drop_last=True)
    assert sum(sum(step.values()) for step in steps([one])) <= 64
    assert one.steps_per_epoch == 8
    with pytest.raises(InputError, match="71 blocks, and a batch of all processes has 80"):
        feed(store, 40, world=2, drop_last=True)


def test_a_process_without_a_block_gets_a_batch_without_labels(store):
    batch = MaskedBlocks(store).__getitems__([])
    assert batch["input_ids"].shape == (1, store.block_size)
    assert (batch["labels"] == -100).all()
