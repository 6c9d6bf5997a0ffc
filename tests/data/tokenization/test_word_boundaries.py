"""Which pieces begin a word."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import mlmfast
from mlmfast.data.tokenization.word_boundaries import word_starts
from mlmfast.errors import InputError
from tiny_tokenizers import JAPANESE, japanese_tokenizer


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


def byte_level(text):
    """Pieces as byte-level BPE writes them: the library's own alphabet."""
    from tokenizers.pre_tokenizers import ByteLevel

    split = ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    return "".join(piece for piece, _ in split)


CHARACTERS = {
    # Han, hiragana, katakana; the sign of a long vowel, a small kana; Latin, digits, Hangul; Thai
    # and a Thai tone mark; a full stop of CJK.
    "\u65e5\u672c": True,
    "\u306e": True,
    "\u30b3\u30fc": True,
    "\u30fc\u30d2": False,
    "\u3063\u305f": False,
    "away": False,
    "42": False,
    "\ud55c\uad6d": False,
    "\u0e01\u0e32": True,
    "\u0e49\u0e32": False,
    "\u3002": True,
}


@pytest.mark.parametrize("marker", ["\u2581", "##", "\u0120"])
def test_boundaries_by_characters(marker):
    spell = byte_level if marker == "\u0120" else str
    fillers = [f"{marker}{letter}" for letter in "bcdefghijklmnopqr"]
    inside = marker if marker == "##" else ""
    pieces = [*fillers, *(inside + spell(text) for text in CHARACTERS)]
    found = word_starts(Vocabulary(*pieces), len(pieces), boundaries="characters")
    assert found[len(fillers) :].tolist() == list(CHARACTERS.values())
    alone = word_starts(Vocabulary(*pieces), len(pieces))
    assert not alone[len(fillers) :].any()
    assert np.array_equal(alone[: len(fillers)], found[: len(fillers)])


def test_parts_of_characters_in_byte_level_pieces():
    spelled = byte_level("\u65e5")
    fillers = [f"\u0120{letter}" for letter in "bcdefg"]
    pieces = [*fillers, spelled[:2], spelled[1:], byte_level("\u00e9")]
    found = word_starts(Vocabulary(*pieces), len(pieces), boundaries="characters")
    assert found[len(fillers) :].tolist() == [True, False, False]


def test_unknown_boundaries_are_refused():
    with pytest.raises(InputError, match="'marker' or 'characters', got 'blanks'"):
        word_starts(Vocabulary("\u2581a"), 1, boundaries="blanks")


@pytest.fixture
def japanese():
    """A tokenizer of single characters, and rows of its ids."""
    tokenizer = japanese_tokenizer()
    return tokenizer, [tokenizer(JAPANESE * 4)["input_ids"]] * 200


def test_whole_words_of_a_text_without_blanks_warn_and_can_be_found(japanese):
    tokenizer, rows = japanese
    options = {"whole_word_mask": True, "seed": 1}
    collator = mlmfast.DataCollatorForLanguageModeling(tokenizer, **options)
    with pytest.warns(UserWarning, match="words of this text have .* word_boundaries='characters'"):
        labels = collator(rows)["labels"]
    assert (labels == -100).all(1).float().mean() > 0.7
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        collator(rows)  # said once
        collator = mlmfast.DataCollatorForLanguageModeling(
            tokenizer, word_boundaries="characters", **options
        )
        labels = collator(rows)["labels"]
    assert (labels == -100).all(1).float().mean() < 0.01
    assert 0.1 < (labels != -100).float().mean() < 0.2
    with pytest.raises(InputError, match="'marker' or 'characters'"):
        mlmfast.DataCollatorForLanguageModeling(tokenizer, word_boundaries="none")
