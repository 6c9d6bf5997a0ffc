"""The blocks of a training in phases: what each step reads, and how it is masked."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

import mlmfast
from mixed_stores import make_stores
from mlmfast.data.prepare.api import prepare
from mlmfast.errors import InputError
from mlmfast.training.datasets import MaskedBlocks
from mlmfast.training.phased_blocks import PhasedBlocks
from mlmfast.training.recipes.layout import BlockCounts, lay_out
from mlmfast.training.recipes.recipe import Recipe
from mlmfast.training.trainer.phases.batches import PhaseBatches
from mlmfast.training.trainer.phases.sampler import PhaseSampler
from mlmfast.training.trainer.source_reads import phased_sources_read
from mlmfast.training.trainer.step_batches import step_batch

SEED = 3


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("stores")
    found = make_stores(root)
    found["long"] = root / "long"
    text = str(root / "large.txt")
    prepare(text, found["long"], tokenizer=root / "tokenizer", block_size=32)
    return found


def phased(mixtures, phases, masks=None):
    recipe = Recipe.parse(
        {"learning_rate": 1e-3, "phases": [{"batch_size": 6, **each} for each in phases]}, "r"
    )
    counts = [BlockCounts(each.joined.block_size, len(each)) for each in mixtures]
    schedule = lay_out(recipe.phases, counts, 1e-3)
    return PhasedBlocks(schedule, mixtures, masks=masks or [{}] * len(mixtures), seed=SEED)


def step_of(blocks, step):
    return blocks.batch_at(step, list(range(*blocks.phases.blocks_of(step))))


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_phases_of_one_mixture_read_what_a_training_without_phases_does(folders):
    mixture = mlmfast.Mixture([folders["large"], folders["small"]], [0.6, 0.4])
    blocks = phased([mixture] * 2, [{"steps": 3}, {"steps": 4}])
    assert len(blocks) == 7 * 6
    for step in range(7):
        assert same(step_of(blocks, step), step_batch(mixture, step, batch_size=6, seed=SEED))


def test_a_phase_on_one_store_reads_its_epochs(folders):
    """Also over the end of an epoch, where a training without phases has a smaller batch."""
    mixture = mlmfast.Mixture([folders["small"]])
    size = len(mixture)
    blocks = phased([mixture], [{"epochs": 2}])
    assert blocks.phases.steps == -(-2 * size // 6)
    read = np.concatenate([blocks.block_ids(np.arange(2 * size, dtype=np.uint64), 0)])
    assert sorted(read[:size]) == sorted(read[size:]) == list(range(size))
    assert read[:size].tolist() != read[size:].tolist()
    plain = MaskedBlocks(mixture.stores[0], seed=SEED)
    plain.set_epoch(1)
    found = blocks.batch_at(0, [size])
    assert same(found, plain.__getitems__([int(read[size])]))


def test_a_phase_with_cut_blocks_reads_what_one_with_short_blocks_does(folders, tmp_path):
    """All of the blocks, with their documents and masks; the long ones go on for themselves."""
    text, given = str(folders["large"].with_suffix(".txt")), {"remainder": "pad"}
    given["tokenizer"] = folders["large"].with_name("tokenizer")
    for length in (16, 64):
        prepare(text, tmp_path / f"{length}", block_size=length, **given)
    short, long = (mlmfast.Mixture([tmp_path / f"{length}"]) for length in (16, 64))
    phases = [{"steps": 12}, {"steps": 2}]
    one = phased([short, long], phases)
    other = phased([long.cut(16), long], phases)
    assert len(one.sources) == len(other.sources) == 2
    assert other.source_names == ("64 (16)", "64 (64)")
    assert one.phases == other.phases
    for step in range(14):
        assert same(step_of(one, step), step_of(other, step))


def test_a_store_goes_on_where_the_phase_before_left_it(folders):
    large, small = (mlmfast.Mixture([folders[name]]) for name in ("large", "small"))
    both = mlmfast.Mixture([folders["small"], folders["large"]], [0.3, 0.7])
    blocks = phased([large, both, small], [{"steps": 2}, {"steps": 3}, {"steps": 2}])
    stores = blocks.sources
    assert [store.path.parent.name for store in stores] == ["large", "small"]
    seen = [[], []]
    for number in range(blocks.phases.blocks):
        part = blocks.parts[blocks.phases.phase_of_block(number)].mixture
        order = part.order(SEED)
        for run in order.runs(np.array([number], np.uint64), 0):
            seen[part.numbers[run.source]].append((run.epoch, int(run.blocks[0])))
    for store, reads in zip(stores, seen, strict=True):
        whole = mlmfast.Mixture([store]).order(mlmfast_seed(blocks, store)).runs
        size, epochs = len(store), {epoch for epoch, _ in reads}
        expected = [
            (epoch, int(block))
            for epoch in sorted(epochs)
            for run in whole(np.arange(size, dtype=np.uint64), epoch)
            for block in run.blocks
        ]
        assert reads == expected[: len(reads)]
    found = phased_sources_read(blocks, blocks.phases.steps)
    assert [source.read for source in found] == [len(reads) for reads in seen]
    assert sum(source.probability for source in found) == pytest.approx(1)
    assert [source.read for source in phased_sources_read(blocks, 2)] == [12, 0]


def mlmfast_seed(blocks, store):
    from mlmfast.data.loading.mixture.order import source_seed

    return source_seed(SEED, blocks.sources.index(store))


def test_a_phase_has_its_own_masks(folders):
    mixture = mlmfast.Mixture([folders["large"]])
    masks = [{"mask_rate_schedule": "0.5:0.1"}, {"mlm_probability": 0.2, "mode": "whole_word"}]
    blocks = phased([mixture] * 2, [{"steps": 4}, {"steps": 2}], masks)
    assert [blocks.rate_at(step) for step in range(6)] == pytest.approx(
        [0.5, 0.4, 0.3, 0.2, 0.2, 0.2]
    )
    for step, options in ((1, {"mlm_probability": 0.4}), (5, masks[1])):
        plain = step_batch(mixture, step, batch_size=6, seed=SEED, **options)
        assert same(step_of(blocks, step), plain)
    assert [each.mlm_probability for each in blocks.summaries()] == ["0.5 to 0.1", "0.2"]


def test_blocks_of_several_lengths(folders):
    mixtures = [mlmfast.Mixture([folders[name]]) for name in ("large", "long")]
    blocks = phased(mixtures, [{"steps": 2}, {"steps": 2}])
    assert blocks.block_lengths == {16, 32}
    assert blocks.store.block_size == 32
    assert [step_of(blocks, step)["input_ids"].shape for step in (0, 3)] == [(6, 16), (6, 32)]
    assert blocks.tokens_read(0, 1) == 12 * 16 + 12 * 32
    assert blocks.tokens_read(0.25, 0.75) == 6 * 16 + 6 * 32
    assert blocks.no_batch(3)["labels"].shape == (0, 32)
    assert (blocks.batch_at(3, [])["labels"] == -100).all()
    with pytest.raises(InputError, match=r"reads blocks of 16 tokens, and its stores have .* 32"):
        PhasedBlocks(blocks.phases, mixtures[::-1], masks=[{}, {}])


def test_batches_of_two_ranks_are_those_of_one_and_a_resume_starts_anywhere(folders):
    mixtures = [mlmfast.Mixture([folders[name]]) for name in ("large", "long")]
    grows = {"batch_size_warmup_min_size": 1, "batch_size_warmup_tokens": 300}
    blocks = phased(mixtures, [{"steps": 8, **grows}, {"steps": 2}])

    def feed(rows, rank=0, world=1):
        positions = rows * world * 32
        accumulated = blocks.phases.most_micro_batches(positions)
        return PhaseBatches(
            blocks, PhaseSampler(blocks.phases, positions, accumulated, rank, world)
        )

    def rows_of(feeds, passes, step):
        found = Counter()
        for one, iterator in zip(feeds, passes, strict=True):
            for batch in one.take(iterator, one.accumulated, step):
                both = torch.cat([batch["input_ids"], batch["labels"]], 1)
                found += Counter(map(tuple, both[(batch["labels"] != -100).any(1)].tolist()))
        return found

    def all_rows(feeds, begin=0):
        passes = [object() for _ in feeds]
        found = [rows_of(feeds, passes, step) for step in range(begin, blocks.phases.steps)]
        for each in feeds:
            each.close()
        return found

    alone = all_rows([feed(9)])
    assert [sum(rows.values()) for rows in alone[-2:]] == [6, 6]
    assert all_rows([feed(1, rank, 2) for rank in range(2)]) == alone
    for begin in (3, 8, 9):
        assert all_rows([feed(2)], begin) == alone[begin:]
    epoch, named = feed(1, 1, 2).blocks_of(9)
    assert (epoch, named.tolist()) == (0, feed(9).blocks_of(9)[1].tolist())
