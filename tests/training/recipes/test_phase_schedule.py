"""Which phase, blocks, batch and learning rate a step has: pure functions of its number."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmfast.errors import InputError
from mlmfast.training.recipes.batch_sizes import BatchSizes
from mlmfast.training.recipes.curve import Curve
from mlmfast.training.recipes.layout import BlockCounts, lay_out
from mlmfast.training.recipes.numbers import amount, count, number, short
from mlmfast.training.recipes.recipe import Recipe
from mlmfast.training.trainer.phases.sampler import PhaseSampler

WSD = {
    "batch_size": 8,
    "phases": [
        {
            "name": "stable",
            "tokens": 12_800,
            "warmup_steps": 4,
            "learning_rate": 1e-3,
            "batch_size_warmup_min_size": 2,
            "batch_size_warmup_tokens": 640,
        },
        {"name": "decay", "steps": 10, "learning_rate_schedule": "1e-3:1e-4:1-sqrt"},
        {"name": "again", "epochs": 0.5, "warmup_steps": 2, "learning_rate": 5e-4},
    ],
}
COUNTS = [BlockCounts(16, 100), BlockCounts(16, 100), BlockCounts(32, 100)]


def schedule(given=None, counts=COUNTS, rate=None):
    return lay_out(Recipe.parse(given or WSD, "r.yaml").phases, counts, rate)


def test_the_phases_of_a_warm_up_a_stable_rate_and_a_decay():
    found = schedule()
    stable, decay, again = found.phases
    # 640 tokens are 40 blocks: 8 steps of 2 to 8 blocks. Then the other 800 - 38 blocks.
    assert [stable.batch.size(step) for step in range(10)] == [2, 2, 3, 4, 5, 5, 6, 7, 8, 8]
    assert stable.steps == 8 + math.ceil((800 - 34) / 8) == 104
    assert (decay.steps, again.steps) == (10, 7)  # half of 100 blocks, in batches of 8
    assert (again.block_size, again.tokens) == (32, 7 * 8 * 32)
    assert found.ends == (104, 114, 121)
    assert found.steps == 121
    rates = [found.learning_rate(step) for step in range(122)]
    assert rates[:5] == pytest.approx([0, 2.5e-4, 5e-4, 7.5e-4, 1e-3])
    assert set(rates[4:105]) == {1e-3}
    assert rates[105] == pytest.approx(1e-3 - 9e-4 * math.sqrt(0.1))
    # The warm-up of a later phase begins where the phase before ended.
    assert rates[114:117] == pytest.approx([1e-4, 3e-4, 5e-4])
    assert set(rates[116:]) == {5e-4}
    assert found.peak == 1e-3


def test_every_block_belongs_to_one_step_and_every_step_to_one_phase():
    found = schedule()
    first = 0
    for step in range(found.steps):
        begin, end = found.blocks_of(step)
        phase, _ = found.at(step)
        assert begin == first
        assert end > begin
        assert {found.phase_of_block(block) for block in (begin, end - 1)} == {phase}
        assert sum(found.blocks_read(step)) == begin
        first = end
    assert first == found.blocks == sum(found.blocks_read(found.steps))
    assert found.at(found.steps) == (2, found.phases[2].steps)


@settings(deadline=None, max_examples=60)
@given(
    first=st.integers(1, 9),
    more=st.integers(0, 40),
    warmup=st.integers(0, 30),
    blocks=st.integers(1, 2000),
)
def test_the_least_number_of_steps_that_read_some_blocks(first, more, warmup, blocks):
    batch = BatchSizes(first + more, first, warmup)
    steps = batch.steps_for(blocks)
    assert batch.before(steps) >= blocks > batch.before(steps - 1)
    assert batch.before(steps) == sum(batch.size(step) for step in range(steps))


@settings(deadline=None, max_examples=60)
@given(rows=st.integers(1, 9), world=st.integers(1, 3), spare=st.integers(0, 2), data=st.data())
def test_batches_and_ranks_divide_the_blocks_of_a_step(rows, world, spare, data):
    """Whatever the division, a step has the same blocks in the same order."""
    found = schedule()
    positions = rows * world * 32
    accumulated = found.most_micro_batches(positions) + spare
    samplers = [PhaseSampler(found, positions, accumulated, rank, world) for rank in range(world)]
    assert samplers[0].global_batches == found.steps * accumulated
    step = data.draw(st.integers(0, found.steps - 1))
    length = found.phases[found.at(step)[0]].block_size
    blocks, empty = [], []
    for place in range(accumulated):
        number = step * accumulated + place
        shares = [sampler.block_ids(number, 0).tolist() for sampler in samplers]
        assert all(len(share) <= rows * 32 // length for share in shares)
        empty.append(samplers[0].is_empty(number))
        assert not empty[-1] or not any(shares)
        blocks += [block for share in shares for block in share]
    assert blocks == list(range(*found.blocks_of(step)))
    # What is computed is full batches: those that no rank needs come first.
    assert empty == sorted(empty, reverse=True)
    needed = math.ceil(len(blocks) / (positions // length))
    assert accumulated - sum(empty) == needed
    assert samplers[-1].all_ranks.block_ids(step * accumulated + accumulated - 1).size > 0


def refused(parse, value):
    try:
        parse(value)
    except ValueError:
        return True
    return False


def test_numbers_and_curves():
    assert [amount("1.7T"), amount("3 M"), count("2K"), number("8e-4")] == [1.7e12, 3e6, 2000, 8e-4]
    wrong = ("-1", 0, True, "many", None, "inf", [1])
    assert all(refused(amount, each) for each in wrong)
    assert refused(count, 1.5)
    assert [short(each) for each in (7, 999_400, 999_600, 1.7e12)] == ["7", "999K", "1M", "1.7T"]
    curve = Curve.parse("1:0:1-sqrt")
    assert [curve.at(passed) for passed in (0, 0.25, 1)] == [1, 0.5, 0]
    assert Curve.parse("0:2:cosine").at(0.5) == pytest.approx(1)
    assert Curve.parse("0:2").at(0.25) == 0.5
    assert str(curve) == "1 to 0 (1-sqrt)"
    assert all(refused(Curve.parse, each) for each in ("1", "1:2:step", 5, "a:b", "1:2:linear:3"))


def test_what_no_phase_can_do():
    with pytest.raises(InputError, match=r"r.yaml, phase 1 has no learning rate: give"):
        schedule({"batch_size": 1, "phases": [{"steps": 3}]}, COUNTS[:1])
    given = {"steps": 3, "warmup_steps": 3, "learning_rate": 1}
    with pytest.raises(InputError, match="rises over 3 steps, and the phase has 3: give a shorter"):
        schedule({"batch_size": 1, "phases": [given]}, COUNTS[:1])
    assert schedule({"batch_size": 1, "phases": [{"steps": 3}]}, COUNTS[:1], rate=2.0).peak == 2
