"""Batches of texts by length."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlmfast.serving.engine.batching import BatchRules, batches, token_budget

lengths = st.lists(st.integers(1, 600), max_size=80)


@given(lengths, st.integers(1, 1000), st.booleans())
def test_every_row_once_and_within_the_budget(lengths, budget, padding):
    found = list(batches(lengths, BatchRules(budget, padding=padding)))
    assert sorted(row for batch in found for row in batch) == list(range(len(lengths)))
    for batch in found:
        longest = max(lengths[row] for row in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
        assert padding or {lengths[row] for row in batch} == {longest}


@given(lengths)
def test_like_lengths_meet(lengths):
    order = [lengths[row] for batch in batches(lengths, BatchRules(512)) for row in batch]
    assert order == sorted(lengths, reverse=True)


def test_a_large_vocabulary_makes_smaller_batches():
    def budget(device, vocab_size):
        return token_budget(device, vocab_size, outputs_logits=True)

    assert budget("cpu", 30_000) == 512
    assert budget("cpu", 250_002) * 250_002 * 4 <= 128 * 2**20
    assert budget("cuda", 50_265) == 4096
    assert budget("cpu", 10**9) == 1
    assert token_budget("cpu", 10**9, outputs_logits=False) == 512


@given(lengths, st.integers(1, 64))
def test_workers_share_what_is_worth_sharing(lengths, workers):
    budget = BatchRules(512).shared_by(workers, sum(lengths)).budget
    assert 128 <= budget <= 512
    if 128 * workers <= sum(lengths) <= 512 * workers:
        assert budget * workers >= sum(lengths)


@given(lengths)
def test_alone(lengths):
    assert all(len(batch) == 1 for batch in batches(lengths, BatchRules(10**6, independent=True)))


@given(st.lists(st.integers(1, 600), min_size=1, max_size=60), st.integers(1, 9))
def test_a_batch_has_so_many_rows_at_most(lengths, rows):
    made = list(batches(lengths, BatchRules(budget=512, rows=rows)))
    assert max(len(batch) for batch in made) <= rows
    assert sorted(row for batch in made for row in batch) == list(range(len(lengths)))
