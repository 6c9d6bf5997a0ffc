"""What tokens of different vocabularies stand for."""

from __future__ import annotations

import pytest

from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.vocabulary.rows.spelling import Speller
from published import published_folder
from sentencepiece_bpe import spm_bpe
from trimming import save_tokenizer


def spelled(speller, token):
    return [(one.content.decode(errors="replace"), one.whole) for one in speller.spellings(token)]


@pytest.mark.parametrize(
    ("name", "token", "expected"),
    [
        ("roberta-base", "\u0120word", [(" word", True)]),
        ("roberta-base", "word", [("word", True)]),
        ("roberta-base", "\u00c3\u00a9", [("\u00e9", True)]),  # two bytes, one character
        ("roberta-base", "\u00c3", [("\ufffd", False)]),
        ("roberta-base", "\u010a", [("\n", True)]),
        ("bert-base-uncased", "word", [(" word", True)]),
        ("bert-base-uncased", "##word", [("word", True)]),
        ("bert-base-uncased", ",", [(",", True), (" ,", True)]),
        ("bert-base-uncased", "\u65e5", [("\u65e5", True), (" \u65e5", True)]),
        ("bert-base-uncased", "a", [(" a", True)]),
        ("t5-small", "\u2581word", [(" word", True)]),
        ("t5-small", "word", [("word", True)]),
        ("t5-small", "<extra_id_3>", [("<extra_id_3>", True)]),
    ],
)
def test_the_signs_of_a_family(name, token, expected):
    speller = Speller(load_tokenizer(published_folder(name)))
    assert token in load_tokenizer(published_folder(name)).tokenizer.get_vocab()
    assert spelled(speller, token) == expected


def test_bytes_that_stand_for_unknown_characters(tmp_path):
    folder = save_tokenizer(spm_bpe("llama2"), tmp_path / "llama", unk_token="<unk>")
    speller = Speller(load_tokenizer(folder))
    [one] = speller.spellings("<0xE3>")
    assert (one.content, one.whole) == (b"\xe3", False)
    assert spelled(speller, "\u2581th") == [(" th", True)]
