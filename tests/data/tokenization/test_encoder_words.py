# ruff: noqa: RUF001 - letters that look alike are what is tested
"""Vocabularies of words and characters behind the simple pre-tokenizers."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from encoding import assert_equal_ids, encoded
from mlmfast import _core
from mlmfast.data.tokenization.verification.parity import Unsupported, verified_encoder

BEHAVIORS = ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous")
ALPHABET = "abxyABXY019 \t\n.,-|_'“·é\u0301ßİ½٣Ⅷ中。\u3000\x0b\x85\u200dñＡ"
TEXTS = [
    "",
    " ",
    "ab  AB\n\nx.y,z",
    "a|b||c|",
    "ACGTNACGT acgt",
    "x_y 12a3 ½٣Ⅷ a-b--c",
    "“a”·b。中文 ñ n\u0303 e\u0301 İß",
    ("word and 123, " * 300).strip(),
    "ACGTACGTTTGCA" * 100,
    "\u3000a\x0bb\x85c\u200dd\x1ce",
]
SHORT = [text for text in TEXTS if len(text) < 100]  # the library is slow where words are many
VOCABULARY = [
    "[UNK]",
    *ALPHABET,
    "ab",
    "AB",
    "aba",
    "12",
    "||",
    "--",
    "word",
    "and",
    "123",
    "中文",
    "e\u0301",
]


def word_level(pre_tokenizer, normalizer=None, vocabulary=VOCABULARY, added=("[MASK]",)):
    ids = {token: number for number, token in enumerate(dict.fromkeys(vocabulary))}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.add_special_tokens(list(added))
    return tokenizer


def split_steps():
    sets = [
        "",
        ".",
        r"\s",
        r"\s+",
        r"\w+",
        r"\d",
        "[ab]",
        "[^a-y]+",
        "[\\s\\-]",
        "a",
        "a+",
        r"\.",
        "|",
    ]
    patterns = st.sampled_from([" ", "a", ".", "中", *map(Regex, sets[:-1])])
    return st.builds(
        pre_tokenizers.Split, patterns, st.sampled_from(BEHAVIORS), invert=st.booleans()
    )


STEPS = st.one_of(
    st.builds(pre_tokenizers.Whitespace),
    st.builds(pre_tokenizers.WhitespaceSplit),
    st.builds(pre_tokenizers.BertPreTokenizer),
    st.builds(pre_tokenizers.CharDelimiterSplit, st.sampled_from("|a 中")),
    st.builds(pre_tokenizers.Punctuation, st.sampled_from(BEHAVIORS)),
    st.builds(pre_tokenizers.Digits, st.booleans()),
    split_steps(),
)
CHOICES = st.builds(
    lambda literals, behavior: pre_tokenizers.Split(Regex("|".join(literals)), behavior),
    st.lists(st.text("abxAB", min_size=1, max_size=4), min_size=2, max_size=6),
    st.sampled_from(["isolated", "removed"]),
)
NORMALIZERS = st.sampled_from(
    [
        None,
        normalizers.Lowercase(),
        normalizers.NFC(),
        normalizers.NFKD(),
        normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]),
        normalizers.Replace("a", "bb"),
        normalizers.Replace(" ", ""),
        normalizers.Sequence([normalizers.Replace(" ", "_"), normalizers.Lowercase()]),
    ]
)


def is_known(tokenizer):
    """Whether this is none of the few combinations that the core leaves to the library."""
    try:
        _core.Encoder(tokenizer.to_str(), [])
    except ValueError:
        return False
    return True


@settings(max_examples=60, deadline=None)
@given(
    st.lists(STEPS, min_size=1, max_size=3),
    st.one_of(st.none(), CHOICES),
    NORMALIZERS,
    st.lists(st.text(ALPHABET, max_size=40), max_size=4),
)
def test_any_sequence_of_simple_steps_gives_the_ids_of_the_library(
    steps, choice, normalizer, texts
):
    steps = steps if choice is None else [choice, *steps]
    tokenizer = word_level(pre_tokenizers.Sequence(steps), None if choice else normalizer)
    if is_known(tokenizer):
        assert_equal_ids(tokenizer, [*SHORT, *texts, "ab [MASK] x[MASK]"])


@pytest.mark.parametrize(
    "pre_tokenizer",
    [
        pre_tokenizers.Whitespace(),
        pre_tokenizers.WhitespaceSplit(),
        pre_tokenizers.CharDelimiterSplit("|"),
        *map(pre_tokenizers.Punctuation, BEHAVIORS),
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.Split("", "isolated"),
        pre_tokenizers.Split(Regex(""), "isolated"),
        pre_tokenizers.Split(Regex("."), "isolated"),
        pre_tokenizers.Split(Regex("[ACGTN]"), "removed", invert=True),
        pre_tokenizers.Split("ab", "isolated"),
        pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Digits()]),
    ],
    ids=str,
)
def test_the_core_knows_them(pre_tokenizer):
    assert_equal_ids(word_level(pre_tokenizer), TEXTS, nothing_pending=True)


def bpe_without_merges(pre_tokenizer=None, normalizer=None, **options):
    ids = {token: number for number, token in enumerate(dict.fromkeys(VOCABULARY))}
    tokenizer = Tokenizer(models.BPE(ids, [], **{"unk_token": "[UNK]"} | options))
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.add_special_tokens(["[MASK]"])
    return tokenizer


@pytest.mark.parametrize(
    ("pre_tokenizer", "normalizer"),
    [
        (None, None),
        (None, normalizers.Lowercase()),
        (pre_tokenizers.Whitespace(), None),
        (pre_tokenizers.Split(Regex("[ACGTN]"), "removed", invert=True), normalizers.NFC()),
        (pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit()]), None),
    ],
    ids=str,
)
def test_bpe_without_merges_has_characters(pre_tokenizer, normalizer):
    """As ESM-C's: its tokens of several characters are never made, unknown ones not joined."""
    tokenizer = bpe_without_merges(pre_tokenizer, normalizer)
    assert _core.Encoder(tokenizer.to_str(), []).family == "WordLevel"
    texts = [*TEXTS, "ab🦀🦀 x[MASK]ba", "LAGVSERT" * 5000]
    assert_equal_ids(tokenizer, texts, nothing_pending=True)


@pytest.mark.parametrize(
    "options",
    [
        {"fuse_unk": True},
        {"byte_fallback": True},
        {"ignore_merges": True},
        {"unk_token": None},
        {"continuing_subword_prefix": "##"},
        {"end_of_word_suffix": "</w>"},
        {"continuing_subword_prefix": "", "end_of_word_suffix": ""},
    ],
    ids=str,
)
@pytest.mark.parametrize("pre_tokenizer", [None, pre_tokenizers.Whitespace()], ids=str)
def test_options_of_bpe_that_change_characters(options, pre_tokenizer):
    tokenizer = bpe_without_merges(pre_tokenizer, **options)
    try:
        _core.Encoder(tokenizer.to_str(), [])
    except ValueError:
        return  # the library encodes
    assert_equal_ids(tokenizer, [*SHORT, "ab🦀🦀 x[MASK]ba"])


def test_texts_without_blanks_are_cut_for_the_threads():
    characters = word_level(pre_tokenizers.Split(Regex(""), "isolated"), vocabulary=[*"[ACGT"])
    ids = {"A": 1, "C": 2, "G": 3, "T": 4}
    characters.model = models.WordLevel({"[UNK]": 0, **ids}, unk_token="[UNK]")
    text = "ACGTTGCA" * 400_000
    encoder = _core.Encoder(characters.to_str(), [])
    column = pa.array([text, "AX", text], pa.large_string())
    results = []
    for threads in (1, 3):
        found = encoder.encode(column, before=[7], after=[8], narrow=True, threads=threads)
        assert found.pending() == []
        offsets, values = found.finish(*no_answers())
        results.append((offsets.tolist(), values.tobytes()))
        assert values[offsets[1] : offsets[2]].tolist() == [7, 1, 0, 8]
        expected = [ids[letter] for letter in text]
        assert values[1 : len(text) + 1].tolist() == expected
    assert results[0] == results[1]


def no_answers():
    import numpy as np

    return np.empty(0, np.uint32), np.empty(0, np.uintp)


def test_added_tokens_are_not_cut():
    added = [AddedToken("CAT", normalized=False), AddedToken("<m>", normalized=False)]
    tokenizer = word_level(
        pre_tokenizers.Split(Regex(""), "isolated"), vocabulary=["[UNK]", *"ACGT"], added=added
    )
    assert_equal_ids(tokenizer, ["ACGT" * 700 + "CAT" + "GGTT" * 700, "G" * 4095 + "CAT" + "A" * 9])
    single = [AddedToken("G", single_word=True, normalized=False)]
    tokenizer = word_level(
        pre_tokenizers.Split(Regex(""), "isolated"), vocabulary=["[UNK]", *"ACT"], added=single
    )
    assert_equal_ids(tokenizer, ["ACT" * 900 + "G" + "TCA" * 900, "ACT " * 900 + "G A"])


def test_without_an_unknown_token_the_library_says_so():
    tokenizer = Tokenizer(models.WordLevel({"a": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    found, pending = encoded(tokenizer, ["a a", ""])
    assert (found, pending) == ([[0, 0], []], [])
    assert isinstance(verified_encoder(tokenizer), Unsupported)
