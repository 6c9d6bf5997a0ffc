"""Text, a tokenizer and a checkpoint for tests of run_mlm.py's flags."""

from __future__ import annotations

import pytest
import transformers
from click.testing import CliRunner

from mlmfast.cli.train import command
from mlmfast.data.tokenization.train import train_tokenizer
from mlmfast.training.options.run_mlm import RunMlmOptions
from mlmfast.training.text_data import prepare_text
from toy import TINY, sentences

OVERRIDES = ",".join(f"{name}={value}" for name, value in TINY.items())


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    lines = sentences(60)
    lines[3:3] = ["", "   "]
    (folder / "train.txt").write_text("\n".join(lines) + "\n")
    (folder / "valid.txt").write_text("\n".join(sentences(20, seed=1)) + "\n")
    train_tokenizer(sentences(60), folder / "tokenizer", vocab_size=300)
    return folder


@pytest.fixture(scope="module")
def checkpoint(text, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    config = transformers.BertConfig(vocab_size=300, max_position_embeddings=40, **TINY)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(text / "tokenizer").save_pretrained(folder)
    return folder


def stores(data, model, **options):
    return prepare_text(data, RunMlmOptions(**options), model=model, quiet=True)


def run(*words):
    return CliRunner().invoke(command, [*map(str, words), "--use_cpu", "--json"])
