"""Which tokens stay: the required ones, then the most frequent ones with their parts."""

from __future__ import annotations

import numpy as np
import pytest

from mlmfast.errors import InputError
from mlmfast.vocabulary.selection import select_tokens

COUNTS = np.array([0, 9, 5, 5, 2, 1, 0, 7], np.int64)
# 7 arises from 4 and 6, which no text has by itself.
PARTS = {7: {4, 6}}


def select(keep=None, min_count=1, required=None):
    return select_tokens(
        COUNTS,
        {"special": {0}} if required is None else required,
        lambda number: PARTS.get(number, set()),
        keep=keep,
        min_count=min_count,
    )


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, {0, 1, 2, 3, 4, 5, 6, 7}),
        ({"min_count": 5}, {0, 1, 2, 3, 4, 6, 7}),
        ({"keep": 2}, {0, 1}),
        # With its parts, 7 has no room: the next tokens that have it are taken.
        ({"keep": 4}, {0, 1, 2, 3}),
        ({"keep": 5}, {0, 1, 4, 6, 7}),
        ({"keep": 6}, {0, 1, 2, 4, 6, 7}),
        ({"keep": 100, "min_count": 6}, {0, 1, 4, 6, 7}),
    ],
)
def test_the_most_frequent_tokens_stay(options, kept):
    assert select(**options) == kept


def test_no_more_tokens_can_be_required_than_are_kept():
    required = {"special or added": {0, 1}, "of the alphabet": {2, 3, 4}, "nothing": set()}
    assert select(keep=5, required=required) == {0, 1, 2, 3, 4}
    with pytest.raises(InputError, match=r"2 special or added, 3 of the alphabet; .* keep 5 or"):
        select(keep=4, required=required)
