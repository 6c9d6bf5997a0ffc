from __future__ import annotations

import logging

import pytest

import mlmfast
from mlmfast.data.added_tokens import with_mask_token
from mlmfast.data.tokenizer_files import load_tokenizer
from mlmfast.errors import InputError

transformers = pytest.importorskip("transformers")

TEXTS = ["Tôi là sinhviên", "", "là là <mask> Tôi", "unknown"]


@pytest.fixture
def slow(tmp_path):
    vocabulary, codes = tmp_path / "vocab.txt", tmp_path / "bpe.codes"
    vocabulary.write_text("Tôi 5\nlà 4\nsinh@@ 3\nviên 2\n", encoding="utf-8")
    merges = "T ô 1\nTô i</w> 1\nl à</w> 1\ns i 1\nsi n 1\nsin h 1\nv i 1\nvi ê 1\nviê n</w> 1\n"
    codes.write_text(merges, encoding="utf-8")
    return transformers.PhobertTokenizer(str(vocabulary), str(codes))


def test_tokenizers_without_a_tokenizer_json_encode_as_they_do_themselves(slow, tmp_path, caplog):
    folder = tmp_path / "saved"
    slow.save_pretrained(folder)
    for source in (slow, folder):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            for special in (False, True):
                ours = mlmfast.tokenize(TEXTS, source, add_special_tokens=special)
                theirs = [slow(text, add_special_tokens=special)["input_ids"] for text in TEXTS]
                assert ours.to_pylist() == theirs
        assert "written in Python" in caplog.text


def test_their_store_opens_with_the_same_tokenizer(slow, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("Tôi là sinhviên\n" * 20, encoding="utf-8")
    store = mlmfast.prepare(text, tmp_path / "blocks", tokenizer=slow, block_size=8)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "blocks")
    assert again(TEXTS[0])["input_ids"] == slow(TEXTS[0])["input_ids"]
    assert len(store) > 0
    assert store.manifest.special_ids == tuple(sorted(set(slow.all_special_ids)))


def test_no_mask_token_is_added_to_them(slow):
    with pytest.raises(InputError, match="written in Python"):
        with_mask_token(load_tokenizer(slow), "<hide>")
