"""A toy language, its tokenizer, its blocks and a tiny model, for the tests of training."""

from __future__ import annotations

import random
from pathlib import Path

from mlmfast.data.prepare.api import prepare
from mlmfast.data.tokenization.train import train_tokenizer

BLOCK_SIZE = 16
WORDS = "the old cat sat on a red mat and sang all night to every good dog"
TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
# Options of train() for a model of a second: RoBERTa has dropout and an offset in its positions.
SCRATCH = {
    "from_scratch": True,
    "model_type": "roberta",
    "config_overrides": TINY,
    "precision": "fp32",
    "use_cpu": True,
    "learning_rate": 1e-3,
    "report": False,
    "quiet": True,
}


def sentences(count: int, seed: int = 0) -> list[str]:
    """Sentences in which each word all but follows from the one before."""
    chance = random.Random(seed)
    words = [
        "the",
        "old",
        "cat",
        "sat",
        "on",
        "a",
        "red",
        "mat",
        "and",
        "sang",
        "all",
        "night",
        "to",
        "every",
        "good",
        "dog",
    ]
    texts = []
    for _ in range(count):
        at = chance.randrange(len(words))
        length = chance.randint(6, 24)
        texts.append(" ".join(words[(at + step) % len(words)] for step in range(length)))
    return texts


def make_blocks(root: Path, *, count: int = 80, **options) -> Path:
    """Write a tokenizer and a block store with a test split; return the store's folder."""
    text = root / "text.txt"
    text.write_text("\n".join(sentences(count)) + "\n")
    train_tokenizer(sentences(count), root / "tokenizer", vocab_size=300)
    options = {"block_size": BLOCK_SIZE, "test_size": 0.2} | options
    prepare(str(text), root / "blocks", tokenizer=root / "tokenizer", **options)
    return root / "blocks"
