"""Batches of texts by length."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlmfast.serving.batching import batches, token_budget

lengths = st.lists(st.integers(1, 600), max_size=80)


@given(lengths, st.integers(1, 1000), st.booleans())
def test_every_row_once_and_within_the_budget(lengths, budget, padding):
    found = list(batches(lengths, budget, padding=padding))
    assert sorted(row for batch in found for row in batch) == list(range(len(lengths)))
    for batch in found:
        longest = max(lengths[row] for row in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
        assert padding or {lengths[row] for row in batch} == {longest}


@given(lengths)
def test_like_lengths_meet(lengths):
    order = [lengths[row] for batch in batches(lengths, 512) for row in batch]
    assert order == sorted(lengths, reverse=True)


def test_a_large_vocabulary_makes_smaller_batches():
    assert token_budget("cpu", 30_000) == 512
    assert token_budget("cpu", 250_002) * 250_002 * 4 <= 128 * 2**20
    assert token_budget("cuda", 50_265) == 4096
    assert token_budget("cpu", 10**9) == 1
