from __future__ import annotations

import numpy as np
import pytest

from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.data.prepare.split import is_test_document
from mlmfast.errors import InputError


def numbers(start, count):
    return np.arange(start, start + count, dtype=np.uint64)


def test_a_documents_place_depends_on_its_number_and_the_seed_alone():
    whole = is_test_document(numbers(0, 1000), test_size=0.3, seed=5)
    pieces = [
        is_test_document(numbers(start, 10), test_size=0.3, seed=5) for start in range(0, 1000, 10)
    ]
    assert np.array_equal(whole, np.concatenate(pieces))
    assert not np.array_equal(whole, is_test_document(numbers(0, 1000), test_size=0.3, seed=6))


def test_a_larger_share_holds_the_smaller_one():
    small = is_test_document(numbers(0, 5000), test_size=0.1, seed=0)
    assert np.all(is_test_document(numbers(0, 5000), test_size=0.2, seed=0)[small])


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("seed", [0, 1, 2**63])
def test_the_share_is_met_everywhere(share, seed):
    count = 200_000
    drawn = is_test_document(numbers(10**12, count), test_size=share, seed=seed)
    spread = (share * (1 - share)) ** 0.5
    # Five standard errors: a fair draw fails once in two million runs, and these are fixed.
    assert abs(drawn.mean() - share) < 5 * spread / count**0.5
    # Neighbours and every residue class are drawn alike: no stripes.
    assert abs((drawn[1:] & drawn[:-1]).mean() - share**2) < 5 * share / count**0.5
    for start in range(4):
        assert abs(drawn[start::4].mean() - share) < 5 * spread / (count / 4) ** 0.5


def test_seeds_do_not_shift_one_another():
    one = is_test_document(numbers(0, 10_000), test_size=0.5, seed=0)
    for seed in range(1, 30):
        other = is_test_document(numbers(0, 10_000), test_size=0.5, seed=seed)
        for shift in range(3):
            same = (one[shift:] == other[: 10_000 - shift]).mean()
            assert abs(same - 0.5) < 0.03


@pytest.mark.parametrize("wrong", [0.0, 1.0, -0.1, 5, True, "0.2", float("nan")])
def test_what_is_no_share_is_refused(wrong):
    with pytest.raises(InputError, match=r"such as 0\.2"):
        PrepareOptions(tokenizer="any", test_size=wrong)
