"""Vocabularies with added tokens of every kind have the library's ids."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from encoding import assert_equal_ids, encoded
from mlmfast import _core
from published import published_tokenizer

EXAMPLES = int(os.environ.get("MLMFAST_FUZZ_EXAMPLES", "30"))
CONTENTS = [
    *(
        "foo",
        "Foo",
        "É",
        "é!",
        "a",
        "ab",
        "<x>",
        "[m]",
        "'s",
        "-",
        "…",
        "1",
        "x y",
        "語",
        "\n",
        "▁a",
    ),
    *(
        "e\u0301",
        "##a",
        "Ġa",
        "  ",
        " z",
        " ",
        "x  y",
        "y x",
        "a b a",
        "b\na",
        "x ",
        "b1 2",
        "▁",
        "İ",
    ),
]
LETTERS = "abcdefoxyzFOAB12é語É\u0301.,'-!<>[]m…▁İ\u3000 "


def _byte_level(*, nfc: bool, prefix: bool = False) -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: at for at, piece in enumerate([*alphabet, "Ġa", "ab", "fo", "foo", "ĠĠ"])}
    merges = [("Ġ", "a"), ("a", "b"), ("f", "o"), ("fo", "o"), ("Ġ", "Ġ")]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.normalizer = normalizers.NFC() if nfc else None
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    return tokenizer


def _wordpiece(*, lowercase: bool) -> Tokenizer:
    letters = sorted(set(LETTERS) - {" "})
    pieces = ["[UNK]", *letters, *(f"##{letter}" for letter in letters), "foo", "##oo"]
    ids = {piece: at for at, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _unigram(*, normalizer: Any = None, scheme: str = "always", at_white: bool = True) -> Tokenizer:
    pieces = [("<unk>", 0.0), ("▁", -2.5), *((letter, -3.0) for letter in LETTERS if letter != " ")]
    tokenizer = Tokenizer(models.Unigram([*dict(pieces).items(), ("▁a", -2.0), ("foo", -2.5)], 0))
    tokenizer.normalizer = normalizer
    steps = [pre_tokenizers.Metaspace(prepend_scheme=scheme)]
    if at_white:
        steps.insert(0, pre_tokenizers.WhitespaceSplit())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    return tokenizer


def _folding() -> normalizers.Normalizer:
    return normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])


def _charsmap() -> normalizers.Normalizer:
    return published_tokenizer("t5-small").normalizer


MAKERS = {
    "byte-level": lambda: _byte_level(nfc=False),
    "byte-level, NFC": lambda: _byte_level(nfc=True),
    "WordPiece, cased": lambda: _wordpiece(lowercase=False),
    "WordPiece, uncased": lambda: _wordpiece(lowercase=True),
    "byte-level, prefix space": lambda: _byte_level(nfc=False, prefix=True),
    "Unigram": _unigram,
    "Unigram, folded": lambda: _unigram(normalizer=_folding()),
    "Unigram, precompiled": lambda: _unigram(normalizer=_charsmap()),
    "Unigram, precompiled, spaces kept": lambda: _unigram(normalizer=_charsmap(), at_white=False),
    "Unigram, only the first": lambda: _unigram(
        normalizer=_charsmap(), scheme="first", at_white=False
    ),
}
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
TOKENS = st.tuples(st.sampled_from(CONTENTS), *(st.booleans() for _ in FLAGS))


@pytest.mark.parametrize("family", MAKERS)
@settings(deadline=None, max_examples=EXAMPLES)
@given(
    tokens=st.lists(TOKENS, min_size=1, max_size=4),
    runs=st.integers(1, 30),
    parts=st.lists(
        st.one_of(
            st.sampled_from(CONTENTS),
            st.text(LETTERS, max_size=8),
            st.integers(1, 66).map("x".__mul__),
            st.integers(1, 66).map(" ".__mul__),
        ),
        max_size=12,
    ),
)
def test_ids_are_the_librarys(family, tokens, runs, parts):
    tokenizer = MAKERS[family]()
    for content, *flags in tokens:
        tokenizer.add_tokens([AddedToken(content, **dict(zip(FLAGS, flags, strict=True)))])
    if family.startswith("byte-level"):
        tokenizer.add_tokens([AddedToken(" " * count) for count in range(2, runs + 1)])
    # A token that was added twice is another one in memory than in the file, in the library itself.
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    assert _core.Encoder(tokenizer.to_str(), [])
    text = "".join(parts)
    many = f"{text} {'a b ' * 600}{text}"
    _assert_equal_ids(tokenizer, [text, many, _long(text), _long(f"{text} ")])


def _assert_equal_ids(tokenizer: Tokenizer, texts: list[str]) -> None:
    """Compare, unless the library panics: tokens that strip and are white space can overlap."""
    try:
        for text in texts:
            tokenizer.encode(text)
    except BaseException as error:
        assume("bad split" not in str(error))
        raise
    assert_equal_ids(tokenizer, texts)


def _long(text: str) -> str:
    """Return a text of several stretches, in which cuts could lie in any part of `text`."""
    return text * (5000 // len(text) + 1) if text else ""


@pytest.mark.parametrize("family", MAKERS)
@settings(deadline=None, max_examples=EXAMPLES)
@given(
    tokens=st.lists(TOKENS, min_size=1, max_size=3),
    text=st.lists(st.sampled_from([*CONTENTS, "a", "b", "x", " "]), min_size=1, max_size=12),
)
def test_texts_are_not_cut_in_a_token(family, tokens, text):
    tokenizer = MAKERS[family]()
    for content, *flags in tokens:
        tokenizer.add_tokens([AddedToken(content, **dict(zip(FLAGS, flags, strict=True)))])
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    _assert_equal_ids(
        tokenizer, [_long("".join(text)), _long(" ".join(text)), _long(f"{text[0]} ")]
    )


@pytest.mark.parametrize("family", MAKERS)
@pytest.mark.parametrize("normalized", [False, True])
def test_only_what_is_beside_a_token_can_go_to_the_library(family, normalized):
    tokenizer = MAKERS[family]()
    tokenizer.add_tokens(
        [
            AddedToken("New York", normalized=normalized),
            AddedToken("zebra", normalized=normalized, single_word=True),
            AddedToken("<stop>", normalized=normalized, rstrip=True, lstrip=True),
        ]
    )
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    far = "abc def fox " * 600
    text = f"{far}New York and zebra, zebras. <stop> {far}"
    _, pending = encoded(tokenizer, [text])
    assert sum(map(len, pending)) < 4000 < len(far)
    assert_equal_ids(tokenizer, [text])


@pytest.mark.parametrize(
    "family",
    ["byte-level", "byte-level, NFC", "byte-level, prefix space", "WordPiece, uncased", "Unigram"],
)
def test_the_core_itself_encodes_texts_with_tokens(family):
    tokenizer = MAKERS[family]()
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True), AddedToken("<s>")])
    tokenizer.add_tokens([AddedToken("New York"), AddedToken("fox", single_word=True)])
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    texts = ["<s>a fox is  <mask> in New York<s>", "foxes, <mask><mask>fox.", " <s> a <s>", "fox"]
    assert_equal_ids(tokenizer, texts, nothing_pending=True)


@pytest.mark.parametrize("normalized", [False, True])
def test_spaces_in_what_is_no_whole_word_are_no_token(normalized):
    """The library passes over the whole of a token that would be a part of a word."""
    tokenizer = MAKERS["byte-level"]()
    tokenizer.add_tokens(
        [
            AddedToken("x  y", single_word=True, normalized=normalized),
            AddedToken("b ", single_word=True, normalized=normalized),
            *(AddedToken(" " * count, normalized=normalized) for count in (2, 3)),
        ]
    )
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    texts = ["x  y", "x  yx", "ax  y  x   y", "ab  a", "b  a   a", "x  yx  y " * 900]
    assert_equal_ids(tokenizer, texts, nothing_pending=True)
