"""Vocabularies with added tokens of every kind: the core refuses them, or has the library's ids."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from encoding import assert_equal_ids
from mlmfast import _core

EXAMPLES = int(os.environ.get("MLMFAST_FUZZ_EXAMPLES", "60"))
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
    *("e\u0301", "##a", "Ġa", "  ", " z"),
]
LETTERS = "abcdefoxyzFOAB1é語É\u0301.,'-!<>[]m…▁ "


def _byte_level(*, nfc: bool) -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: at for at, piece in enumerate([*alphabet, "Ġa", "ab", "fo", "foo", "ĠĠ"])}
    merges = [("Ġ", "a"), ("a", "b"), ("f", "o"), ("fo", "o"), ("Ġ", "Ġ")]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.normalizer = normalizers.NFC() if nfc else None
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def _wordpiece(*, lowercase: bool) -> Tokenizer:
    letters = sorted(set(LETTERS) - {" "})
    pieces = ["[UNK]", *letters, *(f"##{letter}" for letter in letters), "foo", "##oo"]
    ids = {piece: at for at, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _unigram() -> Tokenizer:
    pieces = [("<unk>", 0.0), *((letter, -3.0) for letter in LETTERS if letter != " ")]
    tokenizer = Tokenizer(models.Unigram([*dict(pieces).items(), ("▁a", -2.0), ("foo", -2.5)], 0))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    return tokenizer


MAKERS = {
    "byte-level": lambda: _byte_level(nfc=False),
    "byte-level, NFC": lambda: _byte_level(nfc=True),
    "WordPiece, cased": lambda: _wordpiece(lowercase=False),
    "WordPiece, uncased": lambda: _wordpiece(lowercase=True),
    "Unigram": _unigram,
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
    if family.startswith("byte-level"):  # the others are refused with them
        tokenizer.add_tokens([AddedToken(" " * count) for count in range(2, runs + 1)])
    # A token that was added twice is another one in memory than in the file, in the library itself.
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    try:
        _core.Encoder(tokenizer.to_str(), [])
    except ValueError:
        return  # such a vocabulary is the library's
    text = "".join(parts)
    assert_equal_ids(tokenizer, [text, f"{text} {'a b ' * 600}{text}"])
