"""The check that admits a tokenizer to the core: one wrong rule, and it refuses."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from mlmfast.data.tokenization.verification import comparing, parity
from mlmfast.data.tokenization.verification.edges.pipeline import pipeline_texts
from published import published_tokenizer
from tiny_tokenizers import WORDS

if TYPE_CHECKING:
    import numpy as np


def _words() -> Tokenizer:
    """Return a tokenizer of whole words and of digits."""
    words = dict.fromkeys(
        f"[UNK] {WORDS} 0 1 2 3 4 5 6 7 8 9 10 ' . , - _ caf\u00e9 \u8a9e".split()
    )
    tokenizer = Tokenizer(
        models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)]
    )
    return tokenizer


def _converted() -> Tokenizer:
    """Return a tokenizer with the steps that transformers' converters write."""
    tokenizer = Tokenizer.from_str(published_tokenizer("t5-small").to_str())
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Strip(left=False, right=True),
            tokenizer.normalizer,
            normalizers.Replace(Regex(" {2,}"), "\u2581"),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


_MADE = {"words": _words, "converted": _converted}


def _tokenizer(name: str) -> Tokenizer:
    """Return a tokenizer with added tokens of several kinds."""
    made = _MADE[name]() if name in _MADE else published_tokenizer(name)
    tokenizer = Tokenizer.from_str(made.to_str())
    tokenizer.add_tokens(
        [
            AddedToken("New York"),
            AddedToken("zebra", single_word=True),
            AddedToken("<gap>", lstrip=True, rstrip=True, normalized=False),
            AddedToken("abc", normalized=False),
            AddedToken("abcd e", normalized=False),
        ]
    )
    return tokenizer


def _token(content: dict[str, Any], text: str) -> dict[str, Any]:
    return next(token for token in content["added_tokens"] if token["content"] == text)


def _swap(items: list[Any], first: int, second: int) -> None:
    items[first], items[second] = items[second], items[first]


def _swap_ids(content: dict[str, Any], first: str, second: str) -> None:
    vocab = content["model"]["vocab"]
    vocab[first], vocab[second] = vocab[second], vocab[first]


def _score(content: dict[str, Any], piece: str, more: float) -> None:
    vocab = content["model"]["vocab"]
    at = next(at for at, (known, _) in enumerate(vocab) if known == piece)
    vocab[at] = [piece, vocab[at][1] + more]


# Wrong rules about added tokens.
_ADDED: dict[str, Any] = {
    "a token of two words is unknown": lambda c: c["added_tokens"].remove(_token(c, "New York")),
    "another id": lambda c: _token(c, "abc").update(id=11),
    "the shorter token wins": lambda c: c["added_tokens"].remove(_token(c, "abcd e")),
}
# The library encodes texts with such tokens itself where it normalizes more than ASCII.
_LATE: dict[str, Any] = {
    "any part of a word is a token": lambda c: _token(c, "zebra").update(single_word=False),
    "a token is matched too late": lambda c: _token(c, "<gap>").update(normalized=True, id=7),
}
# These change nothing where white space is dropped.
_STRIPPING: dict[str, Any] = {
    "white space before a token stays": lambda c: _token(c, "<gap>").update(lstrip=False),
    "white space after a token stays": lambda c: _token(c, "<gap>").update(rstrip=False),
}
_WORDPIECE: dict[str, Any] = {
    "case is kept": lambda c: c["normalizer"].update(lowercase=False, strip_accents=True),
    "accents are kept": lambda c: c["normalizer"].update(strip_accents=False),
    "controls are kept": lambda c: c["normalizer"].update(clean_text=False),
    "ideographs are joined": lambda c: c["normalizer"].update(handle_chinese_chars=False),
    "words are longer": lambda c: c["model"].update(max_input_chars_per_word=101),
    "words are shorter": lambda c: c["model"].update(max_input_chars_per_word=99),
    "another unknown token": lambda c: c["model"].update(unk_token="[PAD]"),
    "another prefix": lambda c: c["model"].update(continuing_subword_prefix="#"),
    "two words have each other's ids": lambda c: _swap_ids(c, "thinkers", "wavelengths"),
    "two pieces have each other's ids": lambda c: _swap_ids(c, "##ish", "##oor"),
    "a piece is unknown": lambda c: (
        c["model"]["vocab"].pop("##\u9fa5", None) or c["model"]["vocab"].pop("##ally")
    ),
}
_BPE: dict[str, Any] = {
    "a space is put first": lambda c: c["pre_tokenizer"].update(add_prefix_space=True),
    "text is composed": lambda c: c.update(normalizer={"type": "NFC"}),
    "two merges are swapped": lambda c: _swap(c["model"]["merges"], 2, 7),  # h e, e r
    "a late merge is missing": lambda c: c["model"]["merges"].pop(),
    "two words have each other's ids": lambda c: _swap_ids(c, "\u0120thinkers", "\u0120gospel"),
}
_UNIGRAM: dict[str, Any] = {
    "words have no space first": lambda c: c["pre_tokenizer"]["pretokenizers"][1].update(
        prepend_scheme="never"
    ),
    "spaces stay together": lambda c: c["pre_tokenizer"]["pretokenizers"].pop(0),
    "nothing is normalized": lambda c: c.update(normalizer=None),
    "case is lost": lambda c: c.update(
        normalizer={"type": "Sequence", "normalizers": [c["normalizer"], {"type": "Lowercase"}]}
    ),
    "composed instead of mapped": lambda c: c.update(normalizer={"type": "NFKC"}),
    "another unknown token": lambda c: c["model"].update(unk_id=1),
    "a word's score": lambda c: _score(c, "\u2581immediately", -9.0),
    "a piece's score": lambda c: _score(c, "tion", 3.0),
    "two pieces are swapped": lambda c: _swap(c["model"]["vocab"], 20_000, 20_001),
}
_WORDS: dict[str, Any] = {
    "case is kept": lambda c: c.update(normalizer=None),
    "digits stay together": lambda c: c["pre_tokenizer"]["pretokenizers"][1].update(
        individual_digits=False
    ),
    "words end at white space only": lambda c: c["pre_tokenizer"]["pretokenizers"].__setitem__(
        0, {"type": "WhitespaceSplit"}
    ),
    "another unknown token": lambda c: c["model"].update(unk_token="the"),
    "two words have each other's ids": lambda c: _swap_ids(c, "moon", "potions"),
    "a word is unknown": lambda c: c["model"]["vocab"].pop("rising"),
}
_CONVERTED: dict[str, Any] = {
    "nothing is stripped": lambda c: c["normalizer"]["normalizers"].pop(0),
    "both ends are stripped": lambda c: c["normalizer"]["normalizers"][0].update(strip_left=True),
    "runs of blanks stay": lambda c: c["normalizer"]["normalizers"].pop(2),
    "runs of all white space are one": lambda c: c["normalizer"]["normalizers"][2].update(
        pattern={"Regex": r"\s+"}
    ),
    "words have no space first": lambda c: c["pre_tokenizer"].update(prepend_scheme="never"),
    "only the first word has a space": lambda c: c["pre_tokenizer"].update(prepend_scheme="first"),
}
_FAMILIES: dict[str, dict[str, Any]] = {
    "bert-base-uncased": {**_ADDED, **_LATE, **_WORDPIECE},
    "roberta-base": {**_ADDED, **_LATE, **_STRIPPING, **_BPE},
    "t5-small": {**_ADDED, **_UNIGRAM},
    "converted": _CONVERTED,
    "words": {**_ADDED, **_LATE, **_WORDS},
}
CASES = [(name, rule) for name, changes in _FAMILIES.items() for rule in changes]


# Punctuation in the core's tables, and not in those of tokenizers 0.22.
_NEWER_THAN_BERTS = 0x2E48


@cache
def _texts(name: str) -> list[str]:
    return pipeline_texts(json.loads(_tokenizer(name).to_str()))


@cache
def _library_ids(name: str) -> tuple[np.ndarray, np.ndarray]:
    return comparing.encode_with_library(_tokenizer(name), _texts(name))


@pytest.fixture
def quick(monkeypatch):
    """Let a verification of many texts take what the library says of them from the last one."""
    encode = comparing.encode_with_library

    def use(name):
        def remember(tokenizer, texts, **options):
            return (
                _library_ids(name) if texts is _texts(name) else encode(tokenizer, texts, **options)
            )

        _library_ids(name)
        monkeypatch.setattr(comparing, "encode_with_library", remember)
        monkeypatch.setattr(parity, "pipeline_texts", lambda _: _texts(name))
        # Code points would show many wrong rules by themselves; the texts have to show each.
        monkeypatch.setattr(parity, "differing_code_points", lambda *_: [_NEWER_THAN_BERTS])

    return use


@pytest.mark.parametrize("name", _FAMILIES)
def test_the_right_rules_are_admitted(name, quick):
    quick(name)
    found = parity.verify(_tokenizer(name))
    assert not isinstance(found.core, parity.Unsupported), found.core
    assert found.texts > 3000


@pytest.mark.parametrize(("name", "rule"), CASES)
def test_a_wrong_rule_is_refused(name, rule, quick):
    quick(name)
    tokenizer = _tokenizer(name)
    content = json.loads(tokenizer.to_str())
    before = json.dumps(content)
    _FAMILIES[name][rule](content)
    assert json.dumps(content) != before
    assert isinstance(parity.verify(tokenizer, json.dumps(content)).core, parity.Unsupported)
