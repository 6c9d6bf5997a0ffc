"""BPE over characters, as in Llama 2, Mistral and Gemma: the core's ids are the library's."""

from __future__ import annotations

import json
import os
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from encoding import assert_equal_ids
from mlmfast import _core
from sentencepiece_bpe import LETTERS, PIPELINES, UNKNOWN, spm_bpe

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = int(os.environ.get("MLMFAST_FUZZ_EXAMPLES", "40"))
ALPHABET = [
    *" abcdeth.,;12\u00e9\u00fc\u8a9e\u672c\u306e\U0001f600",
    *"  \n\n\t\r xZ9-\u00e4\u00a0\u3000\u4e16\u0e17\U0001f984\x00",
    *["  ", "   ", " a", " th", "the", "eth", ".\n", "<s>", "<0x0A>", "<unk>", " <mask>", "</s> "],
]
TEXTS = [
    *("", " ", "  ", "a", " a", "  a", "a ", "a  ", "\n", "a\nb", " \n ", "ab  cd   eth    a"),
    *("\u2581", "a\u2581b", "\u2581a", " \u2581", "\u2581\u2581 a", "abcdeth thead ab\u8a9e. x"),
    *("xyz", "x\u4e16\u754c y", "\u4e16\u754c", " \u4e16", "\u4e16 ", "a\U0001f984b\U0001f984"),
    *("<s>a b</s> c", "a <mask>b", " <mask>", "<mask> a", "<unk>x", "a<0x0A>b", "ab" * 300),
    *(" " * count + "the" for count in range(1, 70)),
    *("a" * count + " \u8a9e\u672c\u306e." + "\u8a9e" * count for count in range(58, 68)),
]


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("unknown", UNKNOWN)
def test_every_pipeline_with_random_merges(pipeline: str, unknown: str):
    long = ["the abc eth " * 400 + text + " a bed th" * 400 for text in TEXTS[:40]]
    for seed in range(3):
        assert_equal_ids(spm_bpe(pipeline, unknown, seed), TEXTS + long)


@pytest.mark.parametrize("pipeline", PIPELINES)
@settings(deadline=None, max_examples=EXAMPLES)
@given(seed=st.integers(0, 2**32))
def test_mixed_text_with_random_merges(pipeline: str, seed: int):
    draw = random.Random(seed)
    tokenizer = spm_bpe(pipeline, draw.choice([*UNKNOWN]), draw.randrange(12))
    texts = ["".join(draw.choices(ALPHABET, k=draw.randint(0, 150))) for _ in range(25)]
    texts += ["".join(draw.choices(LETTERS, k=draw.randint(0, 40))) for _ in range(10)]
    texts += [text + " the bed" * 400 + text for text in texts[:4]]
    assert_equal_ids(tokenizer, texts)


@pytest.mark.parametrize("pipeline", ["always", "never", "split"])
@settings(deadline=None, max_examples=EXAMPLES)
@given(seed=st.integers(0, 2**32))
def test_words_that_are_whole_in_the_vocabulary(pipeline: str, seed: int):
    draw = random.Random(seed)
    tokenizer = spm_bpe(pipeline, draw.choice([*UNKNOWN]), draw.randrange(4), ignore_merges=True)
    words = ["thead", "abcdeth", "ab\u8a9e.", "x", "a", "\u4e16", "\u00e9", "\n"]
    joints = [" ", " ", "  ", "", "\n"]
    texts = ["".join(draw.choice(words) + draw.choice(joints) for _ in range(12)) for _ in range(9)]
    assert_equal_ids(tokenizer, [*TEXTS, *texts])


@pytest.mark.parametrize("pipeline", PIPELINES)
@settings(deadline=None, max_examples=EXAMPLES // 2)
@given(text=st.text(max_size=80))
def test_any_text_with_bytes(pipeline: str, text: str):
    assert_equal_ids(spm_bpe(pipeline), [text, "the " + text + " abc"])


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_plain_text_needs_no_library(pipeline: str):
    texts = ["the bed, a  deb\n\nAnd 12 more \u4e16\u754c.\r\n\tx", " abc" * 3000]
    assert_equal_ids(spm_bpe(pipeline), texts, nothing_pending=True)


@pytest.mark.parametrize("pipeline", ["llama2", "mistral", "gemma"])
def test_stretches_of_a_document_that_the_library_encodes(pipeline: str):
    part = " the bed" * 300
    text = part + " a\u2581b" + part + " <mask> c" + part + "\u2581" + part
    assert_equal_ids(spm_bpe(pipeline), [text, text.strip(), "\u2581" + text])


@pytest.mark.parametrize("pipeline", PIPELINES)
@settings(deadline=None, max_examples=EXAMPLES)
@given(seed=st.integers(0, 2**32))
def test_added_tokens_of_every_kind(pipeline: str, seed: int):
    draw = random.Random(seed)
    form = json.loads(spm_bpe(pipeline, draw.choice([*UNKNOWN]), draw.randrange(4)).to_str())
    late = pipeline != "llama2"
    stripped = pipeline in {"mistral", "always", "never", "never-whole"}
    # The library panics where tokens that strip white space meet each other, or tokens of it.
    side = draw.choice(["lstrip", "rstrip", None])
    contents = ["\n", "\n\n", "\n\n\n", "\u2581\u2581", "<x>", ".b", "\t", "\u8a9e<", "<y> ", "<z>"]
    for content in contents:
        if (side or pipeline == "llama2") and content != content.strip():
            continue
        normalized = late and draw.random() < 0.4 and not content.endswith((" ", "\u2581"))
        strips = stripped or not normalized
        token = {
            "id": form["model"]["vocab"].setdefault(content, len(form["model"]["vocab"])),
            "content": content,
            "single_word": draw.random() < 0.2,
            "lstrip": strips and side == "lstrip",
            "rstrip": strips and side == "rstrip",
            "normalized": normalized,
            "special": draw.random() < 0.5,
        }
        form["added_tokens"].append(token)
    tokenizer = Tokenizer.from_str(json.dumps(form))
    texts = [
        "".join(draw.choices([*ALPHABET, *contents], k=draw.randint(0, 60))) for _ in range(20)
    ]
    texts += [text + " the bed" * 400 + text for text in texts[:3]]
    assert_equal_ids(tokenizer, texts)


def _changed(change: Callable[[dict[str, Any]], object], pipeline: str = "llama2") -> str:
    form = json.loads(spm_bpe(pipeline).to_str())
    change(form)
    return json.dumps(form)


def _join_spaces(form: dict[str, Any]) -> None:
    form["model"]["merges"].append(["a", "\u2581"])
    form["model"]["vocab"]["a\u2581"] = 99_999


@pytest.mark.parametrize(
    "change",
    [
        lambda form: form.update(normalizer=None),
        lambda form: form.update(normalizer={"type": "NFC"}),
        lambda form: form["normalizer"]["normalizers"].append({"type": "NFKC"}),
        lambda form: form["normalizer"]["normalizers"][0].update(prepend=" "),
        lambda form: form["normalizer"]["normalizers"][1].update(content="_"),
        lambda form: form.update(pre_tokenizer={"type": "Whitespace"}),
        lambda form: form["model"].update(dropout=0.1),
        lambda form: form["model"].update(end_of_word_suffix="</w>"),
        lambda form: form["model"].update(ignore_merges=True),
        lambda form: form["model"].update(byte_fallback=False, unk_token=None),
        lambda form: form["model"]["vocab"].pop("<0x0A>"),
        lambda form: form["added_tokens"][3].update(content="mask"),
        _join_spaces,
    ],
)
def test_other_pipelines_of_spm_are_refused(change: Callable[[dict[str, Any]], object]):
    _core.Encoder(_changed(lambda _: None), [])
    with pytest.raises(ValueError, match="not one that is encoded here"):
        _core.Encoder(_changed(change), [])


def test_merges_across_spaces_do_no_harm_behind_a_split():
    changed = Tokenizer.from_str(_changed(_join_spaces, "split"))
    assert_equal_ids(changed, [*TEXTS, "a a a  a", "aa "])
