"""The order of a mixture: a pure function of (seed, number), written again from docs/masks.md."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from mlmfast.data.loading.mixture.order import InOrder, MixtureOrder, source_seed
from mlmfast.data.loading.mixture.shares import PERIOD
from mlmfast.errors import InputError

SLOTS = (40_000, 20_000, 5_536)
SIZES = (500, 90, 1)
SEED = 11


def expected(count, period=0):
    """(source, epoch of the source, block) of the first blocks of a period, block by block."""
    ends = np.cumsum(SLOTS).tolist()
    found, orders = [], {}
    drawn = [period * slots for slots in SLOTS]
    for place in oracle.permutation(PERIOD, oracle.at(SEED, 2**32), period, most=count):
        source = next(number for number, end in enumerate(ends) if place < end)
        epoch, rank = divmod(drawn[source], SIZES[source])
        drawn[source] += 1
        if (source, epoch) not in orders:
            seed = SEED if source == 0 else oracle.at(SEED, source - 1)
            orders[source, epoch] = oracle.permutation(SIZES[source], seed, epoch)
        found.append((source, epoch, orders[source, epoch][rank]))
    return found


def blocks_of(order, items, epoch=0):
    runs = order.runs(np.asarray(items, np.uint64), epoch)
    return [(run.source, run.epoch, int(block)) for run in runs for block in run.blocks]


def test_the_order_is_the_one_that_the_page_describes():
    order = MixtureOrder(SIZES, SLOTS, SEED)
    assert len(order) == 591
    found = [each for epoch in range(2) for each in blocks_of(order, range(len(order)), epoch)]
    assert Counter(found) == Counter(expected(2 * 591))
    assert blocks_of(order, [5]) == expected(6)[5:]
    third = [divmod(3 * PERIOD + number, 591) for number in range(20)]
    assert [blocks_of(order, [item], epoch)[0] for epoch, item in third] == expected(20, period=3)


def test_a_period_has_every_source_to_its_slots_and_a_source_each_block_before_any_again():
    order = MixtureOrder(SIZES, SLOTS, SEED)
    numbers = np.arange(PERIOD, 2 * PERIOD)
    epochs = {}
    for epoch in range(PERIOD // 591, 2 * PERIOD // 591 + 1):
        items = numbers[numbers // 591 == epoch] % 591
        for source, own_epoch, block in blocks_of(order, items, epoch):
            epochs.setdefault((source, own_epoch), []).append(block)
    counts = Counter()
    for (source, _), blocks in epochs.items():
        counts[source] += len(blocks)
        assert len(set(blocks)) == len(blocks), "a block came twice in an epoch of its source"
    assert counts == dict(enumerate(SLOTS))
    assert order.read(PERIOD, 2 * PERIOD).tolist() == list(SLOTS)
    complete = [len(blocks) for (source, _), blocks in epochs.items() if source == 0]
    assert sorted(complete)[1:-1].count(500) >= len(complete) - 2


@settings(max_examples=30)
@given(st.lists(st.integers(0, 591), max_size=6), st.integers(0, 10**9))
def test_any_division_reads_the_same_blocks(cuts, epoch):
    order = MixtureOrder(SIZES, SLOTS, SEED)
    whole = Counter(blocks_of(order, range(591), epoch))
    bounds = [0, *sorted(cuts), 591]
    parts = Counter()
    for first, last in pairwise(bounds):
        part = blocks_of(order, range(first, last), epoch)
        parts.update(part)
        counts = order.read(epoch * 591 + first, epoch * 591 + last)
        assert counts.tolist() == [sum(each[0] == source for each in part) for source in range(3)]
    assert parts == whole


def test_items_in_any_order_are_the_same_blocks():
    order = MixtureOrder(SIZES, SLOTS, SEED)
    items = [7, 3, 4, 5, 590, 0]
    assert blocks_of(order, items, 2) == [
        block for stretch in ([7], [3, 4, 5], [590], [0]) for block in blocks_of(order, stretch, 2)
    ]


def test_seeds_have_their_own_orders_and_so_have_sources():
    one, other = (blocks_of(MixtureOrder(SIZES, SLOTS, seed), range(591)) for seed in (1, 2))
    assert one != other
    twins = blocks_of(MixtureOrder((50, 50), (PERIOD // 2, PERIOD // 2), 3), range(40))
    first, second = ([block for source, _, block in twins if source == n] for n in (0, 1))
    assert first[:10] != second[:10]
    assert source_seed(3, 0) == 3
    assert len({source_seed(3, source) for source in range(100)}) == 100


def test_a_mixture_of_one_store_has_the_order_of_the_store():
    order = MixtureOrder((40,), (PERIOD,), SEED)
    assert [block for _, _, block in blocks_of(order, range(40), 6)] == oracle.permutation(
        40, SEED, 6
    )


def test_what_there_is_not():
    order = MixtureOrder(SIZES, SLOTS, SEED)
    with pytest.raises(IndexError, match="item 591 of an epoch of 591 blocks"):
        order.runs(np.array([591], np.uint64), 0)
    with pytest.raises(InputError, match=r"epoch 18446744073709551615 .* is out of range"):
        order.runs(np.array([0], np.uint64), 2**64 - 1)


def test_in_order_the_sources_follow_each_other():
    order = InOrder((3, 1, 2))
    assert blocks_of(order, range(6)) == [
        (0, 0, 0), (0, 0, 1), (0, 0, 2), (1, 0, 0), (2, 0, 0), (2, 0, 1),
    ]  # fmt: skip
    assert blocks_of(order, [2, 3], epoch=4) == [(0, 4, 2), (1, 4, 0)]
    assert order.sources_of(np.arange(6, dtype=np.uint64)).tolist() == [0, 0, 0, 1, 2, 2]
    assert blocks_of(order, []) == []
