"""Byte-level BPE: the core's ids are the library's, whatever the text."""

from __future__ import annotations

import gzip
import json
import os
import random
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from bpe_layouts import TRAINING, bpe_tokenizer
from encoding import assert_equal_ids, encoded
from mlmfast import _core
from mlmfast.data.tokenization.verification.comparing import differing_texts
from mlmfast.data.tokenization.verification.edges.added_tokens import added_token_texts
from places import SHARED, shared
from published import published_tokenizer

EXAMPLES = int(os.environ.get("MLMFAST_FUZZ_EXAMPLES", "40"))
ALPHABETS = [
    "abcdelrstv'\u2019 .,",
    " \t\n\r\x0b\x0c\x85\xa0\u1680\u2003\u2028\u202f\u205f\u3000ab1.",
    "aeoné\u0301\u0327\u0338\u05b0\u0307ÅÅ<> k",
    "かがはの語本日\u3099\u3000a 。ー",
    "ᄒ\u1161\u11ab한글가 a",
    "क\u093cड़ि्स ทกู้ี่ิ عرّبِي ",
    "👩\u200d👧🏽🇩🇪\ufe0f ©a",
    "\x00\x01\x7f\ufeff\u0600\u06dd\u200b\u00ad ab",
    "0123456789½²٣Ⅷ一 a-",
    "<s>/mask|[]unused0 ",
]
LAYOUTS = ["roberta", "modernbert", "sequence", "prefix", "whole"]
WORDS = [
    "",
    " ",
    "   ",
    "a",
    "\n",
    "'s",
    "it's we're they've I'm he'll she'd o'clock rock'n'roll 'tis ''s '' 's's't 'S 'LL",
    "x 'll y  's\n's\t'd 'rex 'vet 'lla 'mat 'dot 'ted",
    *[f"a{' ' * count}b{' ' * count}'s{' ' * count}\n" for count in range(41)],
    *[" " * count for count in range(41)],
    *["w" * count + " x" for count in (14, 15, 16, 17, 63, 64, 65, 100, 159, 160, 161, 1000)],
    "a\n b \n c\n\n d \n\n e\t f \t g\r\nh\r\n\r\n i  \n  j",
    "a\u00a0b \u00a0 c\u00a0\u00a0d\u3000e\u3000\u3000f \u3000g\u2003 h\x85i\x1cj\x1fk\u200bl",
    "日本語、日本語のテスト。 語本語 xyzzy quickly",
    "e\u0301 a\u0327\u0301 \u1112\u1161\u11ab か\u3099 \u212b \uf900 \u0915\u093c \u037e \u1fef",
    "x \u0301y \u0301",
    "0123 12ab ab12 ½² ١٢٣ Ⅷ",
    "<s>a</s> <mask> b<mask>  c \n <mask>",
    "|||IP||| |||IP|| [unused0] [unused1]",
    "\ufeffBOM \x00 \x01",
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_rule_of_the_pattern(layout: str):
    texts = WORDS + [text + " The quick brown fox " * 200 + text for text in WORDS] + TRAINING
    assert_equal_ids(bpe_tokenizer(layout), texts)


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(deadline=None, max_examples=EXAMPLES)
@example(seed=191)  # a word of a run that is whole in the vocabulary, and not in the text
@given(seed=st.integers(0, 2**32))
def test_mixed_text(layout: str, seed: int):
    random_ = random.Random(seed)
    texts = []
    for _ in range(30):
        alphabet = "".join(random_.sample(ALPHABETS, random_.randint(1, 3)))
        text = "".join(random_.choices(alphabet, k=random_.randint(0, 200)))
        texts.append(
            text + random_.choice(["", "", " " + " ".join(TRAINING[0].split() * 60)]) + text
        )
    assert_equal_ids(bpe_tokenizer(layout), texts)


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(deadline=None, max_examples=EXAMPLES)
@given(text=st.text(max_size=120))
def test_any_text(layout: str, text: str):
    assert_equal_ids(bpe_tokenizer(layout), [text, text + " a", "it's " + text])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_natural_text_needs_no_library(layout: str):
    texts = [*TRAINING, "two  spaces.  And\n\n   three\u3000四\xa0five", "e\u0301 नमस्ते ก็ فَعَّلَ"]
    assert_equal_ids(bpe_tokenizer(layout), texts, nothing_pending=True)


@pytest.mark.parametrize("layout", ["roberta", "modernbert"])
def test_a_megabyte_without_a_space(layout: str):
    for text in ["ab" * 500_000, "の本" * 170_000, " " * 500_000, "=" * 500_000]:
        found, _ = encoded(bpe_tokenizer(layout), [text])
        short, _ = encoded(bpe_tokenizer(layout), [text[:1200]])
        assert found[0][:20] == short[0][:20]


def test_code_points_named_as_exceptions_are_left_to_the_library():
    tokenizer = bpe_tokenizer("modernbert")
    texts = ["a\u2e48b", "plain", "x" * 10 + "\u2e48"]
    found, pending = encoded(tokenizer, texts, exceptions=(0x2E48,))
    assert pending == [texts[0], texts[2]]
    assert found == [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]


@cache
def _bpe_with_runs(longest: int) -> Tokenizer:
    form = json.loads(bpe_tokenizer("roberta").to_str())
    tokenizer = Tokenizer.from_str(json.dumps(form))
    tokenizer.add_tokens([AddedToken(" " * count) for count in range(2, longest + 1)])
    return tokenizer


@pytest.mark.parametrize("longest", [2, 3, 7, 12, 13, 15, 16, 19, 23, 24, 40, 70])
def test_runs_of_blanks_at_every_offset_to_a_block(longest: int):
    texts = [
        "x" * offset + " " * count + "return"
        for offset in range(66)
        for count in {
            2,
            longest - 1,
            longest,
            longest + 1,
            longest + 4,
            2 * longest,
            2 * longest + 1,
        }
    ]
    assert_equal_ids(_bpe_with_runs(longest), texts)


def test_texts_of_the_check_hold_the_added_tokens_at_every_offset():
    form = json.loads(_bpe_with_runs(16).to_str())
    texts = set(added_token_texts(form["added_tokens"]))
    assert "x" * 54 + " " * 20 + "return" in texts
    assert all(f"{'x' * offset}<mask>return <mask>" in texts for offset in range(65))


def test_the_check_finds_a_core_that_cuts_runs_otherwise():
    # Its library has shorter runs than the core was made for.
    core = _core.Encoder(_bpe_with_runs(23).to_str(), [])
    texts = list(added_token_texts(json.loads(_bpe_with_runs(16).to_str())["added_tokens"]))
    assert list(differing_texts(_bpe_with_runs(16), core, texts))


@settings(deadline=None, max_examples=EXAMPLES)
@given(
    longest=st.integers(2, 30),
    parts=st.lists(st.tuples(st.integers(0, 70), st.integers(0, 64)), min_size=1, max_size=5),
)
def test_any_run_of_blanks(longest: int, parts: list[tuple[int, int]]):
    text = "".join("x" * letters + " " * blanks for letters, blanks in parts)
    assert_equal_ids(_bpe_with_runs(longest), [text, text + "y"])


def _changed(change) -> str:
    form = json.loads(bpe_tokenizer("roberta").to_str())
    change(form)
    return json.dumps(form)


@pytest.mark.parametrize(
    "change",
    [
        lambda form: form.update(normalizer={"type": "Lowercase"}),
        lambda form: form.update(normalizer={"type": "NFKC"}),
        lambda form: form.update(pre_tokenizer=None),
        lambda form: form["pre_tokenizer"].update(use_regex=False),
        lambda form: form["model"].update(dropout=0.1),
        lambda form: form["model"].update(continuing_subword_prefix="##"),
        lambda form: form["model"].update(end_of_word_suffix="</w>"),
        lambda form: form["model"]["vocab"].pop("Ā"),
    ],
)
def test_other_pipelines_are_refused(change):
    _core.Encoder(_changed(lambda _: None), [])
    with pytest.raises(ValueError, match="not one that is encoded here"):
        _core.Encoder(_changed(change), [])


def test_every_rule_with_a_real_vocabulary():
    tokenizer = published_tokenizer("roberta-base")
    assert_equal_ids(tokenizer, WORDS + TRAINING)
    assert_equal_ids(tokenizer, TRAINING, nothing_pending=True)


NAMES = ["roberta-base", "modernbert-base"]


@cache
def _shared(name: str) -> Tokenizer:
    path = shared("tokenizers", name, "tokenizer.json")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _text(path: Path) -> str:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        return file.read(4_000_000).decode(errors="replace")


@pytest.mark.parametrize("name", NAMES)
def test_rules_with_real_vocabularies(name: str):
    assert_equal_ids(_shared(name), WORDS + TRAINING)


@pytest.mark.parametrize("name", NAMES)
def test_natural_text(name: str):
    tokenizer = _shared(name)
    random_ = random.Random(0)
    for file in ["books/books_en_48m.txt.gz", "multilingual/wagahai.ja.txt", "dirty/blns.txt"]:
        text = _text(SHARED / "text" / file)
        starts = [random_.randrange(len(text)) for _ in range(20)]
        assert_equal_ids(tokenizer, [text[start : start + 8000] for start in starts])
