"""The texts at which a wrong rule shows, from a tokenizer's own pipeline and vocabulary."""

from __future__ import annotations

import json

import pytest

from mlmfast.data.tokenization.verification.edges.added_tokens import added_token_texts
from mlmfast.data.tokenization.verification.edges.borders import BLOCK, at_all_offsets, at_borders
from mlmfast.data.tokenization.verification.edges.charsmap import keys_of
from mlmfast.data.tokenization.verification.edges.pipeline import pipeline_texts
from mlmfast.data.tokenization.verification.edges.vocabulary import Vocabulary, steps_of
from published import published_tokenizer


def _content(name):
    return json.loads(published_tokenizer(name).to_str())


def test_every_token_is_in_a_text():
    content = _content("bert-base-uncased")
    words = {word for text in pipeline_texts(content) for word in text.split()}
    tokens = set(content["model"]["vocab"])
    whole = {token for token in tokens if not token.startswith("##")}
    assert whole <= words
    inner = {token.removeprefix("##") for token in tokens - whole}
    assert any({letter + piece for piece in inner} <= words for letter in "\u00df\u00e6\u00f0")


def test_tokens_are_read_as_the_texts_they_stand_for():
    made = {
        "model": {"type": "BPE", "vocab": {"Ġa": 1, "é": 0, "ĊĊ": 2}},
        "pre_tokenizer": {"type": "ByteLevel"},
    }
    assert Vocabulary(made).texts == [" a", "\n\n"]  # a lone byte stands for no text
    made = {"model": {"type": "Unigram", "vocab": [["\u2581a", 0.0], ["b", -1.0]]}}
    assert Vocabulary(made).texts == [" a", "b"]
    made = {"model": {"type": "WordPiece", "continuing_subword_prefix": "##", "vocab": {"##b": 0}}}
    assert Vocabulary(made).texts == ["b"]


def test_sequences_of_steps_are_taken_apart():
    inner = {"type": "Sequence", "pretokenizers": [{"type": "Digits"}]}
    part = {"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}, inner]}
    assert [step["type"] for step in steps_of(part)] == ["Whitespace", "Digits"]
    assert steps_of(None) == []


@pytest.mark.parametrize("text", ["a", "ab\u00e9", "\u8a9e" * 9])
def test_a_border_lies_before_within_and_after(text):
    size = len(text.encode())
    starts = {moved.encode().find(text.encode()) for moved in at_borders(text)}
    ends = {start + size for start in starts}
    assert BLOCK in starts
    assert BLOCK in ends
    assert size < 3 or any(start < BLOCK < start + size for start in starts)
    assert len(set(at_all_offsets(text))) == 2 * (BLOCK + 1)


def test_the_keys_of_a_precompiled_map_are_read():
    keys = keys_of(_content("t5-small")["normalizer"]["precompiled_charsmap"])
    assert len(set(keys)) == len(keys) > 10_000
    assert all(len(key) > 1 for key in keys)
    assert sum("\u0301" in key for key in keys) > 20
    assert keys_of("") == []
    assert keys_of("no base64!") == []


def test_added_tokens_stand_in_all_surroundings():
    token = {"content": "New York", "single_word": False, "lstrip": True, "normalized": True}
    texts = set(added_token_texts([token, {**token, "content": "[x]"}]))
    assert {
        "aNew Yorkb",
        "New\nYork",
        "new york",
        "New Yor",
        "New York[x] New York [x]  New York\n[x]",
    } <= texts
    assert any(len(text) > 4000 for text in texts)
