"""A model and a store whose ids mean different tokens."""

from __future__ import annotations

import pytest
import transformers

from mlmfast.data.store.store import open_splits
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.data.tokenization.train import train_tokenizer
from mlmfast.errors import InputError
from mlmfast.training.model.compatibility import check_same_tokens
from mlmfast.training.train import train
from toy import TINY


@pytest.fixture(scope="module")
def store(toy_blocks):
    return open_splits(toy_blocks)["train"]


def save_model(folder, store):
    config = transformers.RobertaConfig(vocab_size=store.manifest.vocab_size, **TINY)
    transformers.RobertaForMaskedLM(config).save_pretrained(folder)
    return folder


def test_another_vocabulary_of_the_same_size_is_refused(toy_blocks, store, tmp_path):
    folder = save_model(tmp_path / "model", store)
    words = ["quick brown foxes jump over lazy hounds by the brook"] * 9
    train_tokenizer(words, tmp_path / "other", vocab_size=300)
    load_tokenizer(str(tmp_path / "other")).save(folder)
    with pytest.raises(InputError, match=r"ids mean something else; \d+ is .* to the model and"):
        train(toy_blocks, model=folder, output=tmp_path / "out", use_cpu=True, quiet=True)
    assert not (tmp_path / "out.partial").exists()


def test_the_same_tokens_in_another_file_and_no_tokenizer_are_taken(store, tmp_path):
    folder = save_model(tmp_path / "model", store)
    check_same_tokens(folder, store)
    load_tokenizer(store.path).save(folder)
    written = folder / "tokenizer.json"
    written.write_text(written.read_text() + "\n")  # another hash
    check_same_tokens(folder, store)


def test_tokens_that_were_added_are_no_contradiction(store, tmp_path):
    folder = save_model(tmp_path / "model", store)
    tokenizer = transformers.AutoTokenizer.from_pretrained(store.path)
    tokenizer.add_tokens(["[NEW]"])
    tokenizer.save_pretrained(folder)
    check_same_tokens(folder, store)
