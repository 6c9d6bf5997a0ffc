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


def write_text(folder, train_lines, valid_lines):
    """Write train.txt, with two blank lines more, valid.txt and a tokenizer."""
    lines = sentences(train_lines)
    lines[3:3] = ["", "   "]
    (folder / "train.txt").write_text("\n".join(lines) + "\n")
    (folder / "valid.txt").write_text("\n".join(sentences(valid_lines, seed=1)) + "\n")
    train_tokenizer(sentences(60), folder / "tokenizer", vocab_size=300)


def write_checkpoint(folder, tokenizer):
    """Write a small BERT of random weights and its tokenizer, as transformers does."""
    config = transformers.BertConfig(vocab_size=300, max_position_embeddings=40, **TINY)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    write_text(folder, 60, 20)
    return folder


@pytest.fixture(scope="module")
def checkpoint(text, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder, text / "tokenizer")
    return folder


def stores(data, model, **options):
    return prepare_text(data, RunMlmOptions(**options), model=model, quiet=True)


def run(*words):
    return CliRunner().invoke(command, [*map(str, words), "--use_cpu", "--json"])
