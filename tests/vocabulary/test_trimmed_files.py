"""The files of a trimmed tokenizer: all agree, and those that cannot are left out."""

from __future__ import annotations

import json

import transformers

from mlmfast.data.tokenization.load import load_tokenizer
from places import shared
from tiny_tokenizers import bert_tokenizer, roberta_tokenizer
from trimming import trimmed


def test_the_vocabulary_files_beside_tokenizer_json_are_rewritten(tmp_path):
    old = tmp_path / "old"
    old.mkdir()
    roberta_tokenizer(old).save_pretrained(old)
    loaded = load_tokenizer(old)
    result = trimmed(loaded, ["the quick fox"], tmp_path / "new")
    new = result.loaded.tokenizer.get_vocab()
    assert json.loads((tmp_path / "new" / "vocab.json").read_text("utf-8")) == new
    merges = (tmp_path / "new" / "merges.txt").read_text("utf-8").splitlines()
    assert merges[0] == "#version: 0.2"
    assert all("".join(line.split(" ")) in new for line in merges[1:])
    # A class in Python reads these two files alone.
    slow = transformers.RobertaTokenizer.from_pretrained(tmp_path / "new")
    for text in ("the quick fox", "quick"):
        assert slow.tokenize(text) == result.loaded.tokenizer.encode(
            text, add_special_tokens=False
        ).tokens  # fmt: skip


def test_the_word_list_of_bert_is_rewritten(tmp_path):
    old = tmp_path / "old"
    old.mkdir()
    bert_tokenizer(old).save_pretrained(old)
    result = trimmed(load_tokenizer(old), ["the quick fox"], tmp_path / "new")
    words = (tmp_path / "new" / "vocab.txt").read_text("utf-8").splitlines()
    assert words == sorted(result.new_ids and result.loaded.tokenizer.get_vocab(),
                           key=result.loaded.tokenizer.get_vocab().get)  # fmt: skip
    slow = transformers.BertTokenizer.from_pretrained(tmp_path / "new")
    assert slow("the fox").input_ids == result.loaded.tokenizer.encode("the fox").ids


def test_a_sentencepiece_model_is_left_out(tmp_path):
    old = tmp_path / "old"
    old.mkdir()
    roberta_tokenizer(old).save_pretrained(old)
    (old / "sentencepiece.bpe.model").write_bytes(b"all tokens")
    result = trimmed(load_tokenizer(old), ["the quick fox"], tmp_path / "new")
    assert "still holds all tokens" in result.left_out["sentencepiece.bpe.model"]
    assert not (tmp_path / "new" / "sentencepiece.bpe.model").exists()


def test_added_tokens_and_post_processors_have_the_new_ids(tmp_path):
    loaded = load_tokenizer(shared("tokenizers", "modernbert-base"))
    text = "a short text  with two blanks"
    result = trimmed(loaded, [text], tmp_path / "new")
    before = loaded.tokenizer.encode(text)
    after = result.loaded.tokenizer.encode(text)
    assert after.tokens == before.tokens
    assert after.tokens[0] == "[CLS]"
    assert after.ids == [result.new_ids[number] for number in before.ids]
    config = json.loads((tmp_path / "new" / "tokenizer_config.json").read_text("utf-8"))
    vocabulary = result.loaded.tokenizer.get_vocab()
    declared = config["added_tokens_decoder"]
    assert len(declared) == 116
    assert all(vocabulary[token["content"]] == int(i) for i, token in declared.items())
    opened = transformers.AutoTokenizer.from_pretrained(tmp_path / "new")
    assert opened(text).input_ids == after.ids
