"""Small texts and a tokenizer made of them, for the tests of the data stages."""

from __future__ import annotations

import atexit
import functools
import json
import random
import shutil
import tempfile
from pathlib import Path

from mlmfast.data.sources.base import ReadOptions
from mlmfast.data.sources.open import open_sources, read_texts
from mlmfast.data.tokenization.train import train_tokenizer

WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "and",
    "Äpfel",
    "für",
    "東京",
    "naïve",
    "café",
    "🦊",
    "x1",
    "2.5",
    "don't",
]


def documents(count: int, *, seed: int = 0) -> list[str]:
    """Make documents of 0 to 30 words; about one in ten is empty."""
    draw = random.Random(seed)
    return [
        "" if draw.random() < 0.1 else " ".join(draw.choices(WORDS, k=draw.randint(1, 30)))
        for _ in range(count)
    ]


@functools.cache
def tiny_tokenizer() -> str:
    """Train a byte-level BPE of 320 tokens once; return its folder."""
    made = Path(tempfile.mkdtemp(prefix="mlmfast-tokenizer-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    folder = made / "tokenizer"
    train_tokenizer(documents(300, seed=1), folder, vocab_size=320)
    return str(folder)


def read(inputs, column="text", policy="error", batch_bytes=1 << 20, reading=None, **how):
    """Read documents as `prepare` does; a null is a document without text."""
    options = ReadOptions(column, policy, batch_bytes, **(reading or {}))
    return [
        text
        for array in read_texts(open_sources(inputs, **how), options)
        for text in array.to_pylist()
    ]


def jsonl(*records):
    """Return records as the bytes of JSON lines."""
    return "".join(json.dumps(record) + "\n" for record in records).encode()
