"""How an epoch is dealt to batches and ranks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmfast.data.loading.sampler import BlockSampler
from mlmfast.errors import InputError


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 200), st.integers(1, 9), st.integers(1, 7), st.booleans(), st.integers(0, 9))
def test_ranks_share_an_epoch_without_gaps_or_repeats(blocks, batch_size, world_size, drop, epoch):
    plans = [
        BlockSampler(blocks, batch_size, rank, world_size, shuffle=True, drop_last=drop, seed=1)
        for rank in range(world_size)
    ]
    shares = [[plan.block_ids(at, epoch).tolist() for at in range(len(plan))] for plan in plans]
    seen = [number for share in shares for batch in share for number in batch]
    one = BlockSampler(blocks, batch_size * world_size, 0, 1, shuffle=True, drop_last=drop, seed=1)
    kept = [number for at in range(len(one)) for number in one.block_ids(at, epoch).tolist()]
    assert sorted(seen) == sorted(kept)
    assert len(set(seen)) == len(seen)
    if not drop:
        assert sorted(seen) == list(range(blocks))
    assert all(batch for share in shares for batch in share), "no batch is empty"
    lengths = {len(share) for share in shares}
    assert max(lengths) - min(lengths) <= 1
    if drop or blocks % (batch_size * world_size) in (0, *range(world_size, 1000)):
        assert len(lengths) == 1
    for at in range(min(lengths)):
        sizes = {len(share[at]) for share in shares}
        assert max(sizes) - min(sizes) <= 1


def test_without_shuffling_the_order_is_the_datas():
    plan = BlockSampler(10, 4, 0, 1, shuffle=False, drop_last=False, seed=1)
    assert [plan.block_ids(at, 0).tolist() for at in range(3)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]


def test_seeds_and_epochs_have_their_own_orders():
    def order(seed, epoch):
        plan = BlockSampler(50, 50, 0, 1, shuffle=True, drop_last=False, seed=seed)
        return plan.block_ids(0, epoch).tolist()

    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9
    assert order(1, 2) == order(1, 2)


@pytest.mark.parametrize("rank", [-1, 3])
def test_a_rank_outside_of_the_world_is_named(rank):
    with pytest.raises(InputError, match=f"got rank {rank} of world_size 3"):
        BlockSampler(10, 4, rank, 3, shuffle=True, drop_last=False, seed=1)
