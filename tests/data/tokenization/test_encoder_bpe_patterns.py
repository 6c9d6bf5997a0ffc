"""Byte-level BPE behind `Split`: the words of each pattern in use are the library's."""

from __future__ import annotations

import itertools
import json
import os
import random
import unicodedata

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from bpe_layouts import TRAINING, bpe_tokenizer
from bpe_patterns import PATTERNS, SEEDS, border_tokenizer, split_form
from encoding import assert_equal_ids
from mlmfast import _core
from mlmfast.data.tokenization.verification.code_points import known_code_points

EXAMPLES = int(os.environ.get("MLMFAST_FUZZ_EXAMPLES", "40"))
ALPHABET = [
    *"aZsStTdmLlreve'\u2019\u017f .,(-\u2014\u201c\"",
    *" \t\n\r\x0b\x0c\x85\xa0\u2003\u2028\u3000",
    *"  \n\n\r0123459\u00bd\u00b2\u0663\u2167\u4e00\u0d70",
    *"\u00e9\u0301\u05b0\u8a9e\u306e\u0e17\u0e35\U0001f600\u200d\ufe0f\x00\x7f\u0345\u1c80\u01c5",
    *"ABCxyz/\u00c9\u00df\u01c5\u02b0\u0391\u03c9\u0410\u0431\u0915\u093f\u0627\u064b\u10d0",
    *["\r\n", "\n\n", "   ", "'s", "'LL", "\u017f", "word", "123", "<s>", "  x", "\n  y"],
]
CONTRACTIONS = [
    f"{before}'{''.join(letters)}{after}"
    for short in ("s", "t", "re", "ve", "m", "ll", "d", "\u017f", "r", "l", "\u212a", "r\u00e9")
    for letters in itertools.product(*({letter, letter.upper()} for letter in short))
    for before in ("", "a", " ", "  ", "1", "'", ".", "\n", "\t", "\u8a9e", "\u3000")
    for after in ("", "x", "X", " ", "'s", "\u00e9", "1", "\n")
]
NUMBERS = [
    f"{before}{digit * length}{after}"
    for length in range(1, 11)
    for digit in ("7", "\u0663", "\u00b2", "\U0001d7d8", "1\u00bd")
    for before in ("", "a", " ", "  ", "-", "x" * 60)
    for after in ("", "a", " ", ".5")
]
BREAKS = [
    f"{before}{''.join(white)}{after}"
    for length in (1, 2, 3)
    for white in itertools.product((" ", "\n", "\r", "\t", "\u3000", "\x85"), repeat=length)
    for before in ("", "a", ".", "\u201c", "1", "x" * 61, "." * 62)
    for after in ("", "a", ".", "1", "\u8a9e")
]
CONTEXTS = [
    *("{0}", "a{0}b", " {0}", "  {0}a", "1{0}1", "{0}{0}a", "\n{0}", "{0}\n", "{0}\n {0}", "'{0}"),
    *(
        "'r{0}",
        "'{0}e",
        "({0}a",
        "(({0}",
        "{0}(a",
        "\t{0}a",
        "{0}  a",
        ".{0}\n",
        " {0}'s",
        "{0}1234",
    ),
]


def _shifted(texts: list[str]) -> list[str]:
    """The same texts, and those at other offsets to the blocks of 64 bytes that the core reads."""
    draw = random.Random(len(texts))
    return texts + ["x" * draw.randint(50, 70) + text for text in texts]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("texts", [CONTRACTIONS, NUMBERS, BREAKS], ids=["'s", "1234", "breaks"])
def test_every_alternative_of_the_pattern(pattern: str, texts: list[str]):
    draw = random.Random(1)
    some = draw.sample(texts, min(len(texts), 1500))
    for seed in range(SEEDS):
        assert_equal_ids(border_tokenizer(pattern, seed), _shifted(some), nothing_pending=True)


@pytest.mark.parametrize("pattern", PATTERNS)
@settings(deadline=None, max_examples=EXAMPLES)
@given(seed=st.integers(0, 2**32))
def test_mixed_text_behind_split(pattern: str, seed: int):
    draw = random.Random(seed)
    texts = ["".join(draw.choices(ALPHABET, k=draw.randint(0, 120))) for _ in range(30)]
    nfc = draw.random() < 0.3
    assert_equal_ids(border_tokenizer(pattern, draw.randrange(SEEDS), nfc), texts)


@pytest.mark.parametrize("pattern", ["llama3", "o200k", "gpt2"])
@settings(deadline=None, max_examples=EXAMPLES)
@given(text=st.text(max_size=80), seed=st.integers(0, SEEDS - 1))
def test_any_text_behind_split(pattern: str, text: str, seed: int):
    # Versions of Unicode differ in the others, which the check leaves to the library.
    assume(all(unicodedata.category(c) not in {"Cn", "Co"} for c in text))
    assert_equal_ids(border_tokenizer(pattern, seed), [text, text + " a", "it's " + text])


@pytest.mark.parametrize("pattern", ["llama3", "o200k", "gpt2"])
def test_characters_of_every_category_in_every_context(pattern: str):
    draw = random.Random(2)
    kinds: dict[str, list[str]] = {}
    for code in known_code_points():
        kinds.setdefault(unicodedata.category(chr(code)), []).append(chr(code))
    some = [c for kind in kinds.values() for c in draw.sample(kind, min(len(kind), 12))]
    texts = [context.format(c) for c in some for context in CONTEXTS]
    assert_equal_ids(border_tokenizer(pattern), texts, nothing_pending=True)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_stretches_are_cut_where_no_word_goes_across(pattern: str):
    draw = random.Random(3)
    joints = [" ", "\n", "'s ", ".\n", "  ", " \n", "\r\n", " 1234 ", ". ", "\n\n", ", (", " -"]
    for seed in range(SEEDS):
        words = draw.choices(["one", "Two", "x7", "1234567", "don't", "a.b", "\u8a9e"], k=4000)
        text = "".join(word + draw.choice(joints) for word in words)
        assert_equal_ids(border_tokenizer(pattern, seed), [text], nothing_pending=True)


def test_what_removes_all_between_words_is_the_same():
    texts = CONTRACTIONS[::7] + BREAKS[::7]
    tokenizer = border_tokenizer("llama3", behavior="Removed", invert=True)
    assert_equal_ids(tokenizer, texts, nothing_pending=True)


@pytest.mark.parametrize("pattern", ["llama3", "qwen"])
@pytest.mark.parametrize("layout", ["roberta", "modernbert", "whole"])
def test_trained_vocabularies_behind_split(pattern: str, layout: str):
    form = json.loads(bpe_tokenizer(layout).to_str())
    form["pre_tokenizer"] = split_form(pattern)
    form["added_tokens"] = [t for t in form["added_tokens"] if not t["content"].isspace()]
    tokenizer = Tokenizer.from_str(json.dumps(form))
    texts = [
        *TRAINING,
        *CONTRACTIONS[::11],
        *BREAKS[::11],
        "xyzzy quickly\n\n\n \u8a9e\u672c\u8a9e",
    ]
    assert_equal_ids(tokenizer, texts + [text + " a <mask> b " + text for text in texts[::5]])
    assert_equal_ids(tokenizer, TRAINING, nothing_pending=True)


@pytest.mark.parametrize(
    ("pattern", "behavior", "invert"),
    [
        ("llama3", "Removed", False),
        ("llama3", "MergedWithPrevious", False),
        ("llama3", "Contiguous", False),
        (PATTERNS["llama3"].replace("{1,3}", "{1,2}"), "Isolated", False),
        (PATTERNS["llama3"] + "|x", "Isolated", False),
        (r"\p{N}", "Isolated", False),
    ],
)
def test_other_patterns_and_behaviors_are_refused(pattern: str, behavior: str, invert: bool):
    form = json.loads(border_tokenizer("llama3").to_str())
    form["pre_tokenizer"] = split_form(pattern, behavior, invert)
    with pytest.raises(ValueError, match="not one that is encoded here"):
        _core.Encoder(json.dumps(form), [])


def test_a_prefix_of_spaces_behind_split_is_refused():
    form = json.loads(border_tokenizer("llama3").to_str())
    form["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = True
    with pytest.raises(ValueError, match="not one that is encoded here"):
        _core.Encoder(json.dumps(form), [])
