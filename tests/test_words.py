"""Which pieces begin a word."""

from __future__ import annotations

import pytest

from mlmfast.data.words import word_starts
from mlmfast.errors import InputError


class Vocabulary:
    def __init__(self, *pieces):
        self.pieces = pieces

    def get_vocab(self):
        return {piece: index for index, piece in enumerate(self.pieces)}


@pytest.mark.parametrize(
    ("pieces", "starts"),
    [
        (("[CLS]", "far", "##away"), (True, True, False)),
        (("\u0120far", "away", "\u010a"), (True, False, True)),
        (("\u2581far", "away", "@@"), (True, False, False)),
        (("far", "away"), (True, True)),
    ],
)
def test_markers_in_front(pieces, starts):
    found = word_starts(Vocabulary(*pieces), len(pieces) + 1)
    assert found.tolist() == [*starts, True]


@pytest.mark.parametrize("pieces", [("far@@", "away", "and@@"), ("far", "away</w>")])
def test_markers_behind_are_refused(pieces):
    with pytest.raises(InputError, match=r"(@@|</w>)' behind them: mask tokens"):
        word_starts(Vocabulary(*pieces), 3)
