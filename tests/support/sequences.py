"""Tokenizers of proteins and DNA with vocabularies of published models, and random sequences."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

ESM2 = [
    *("<cls>", "<pad>", "<eos>", "<unk>"),
    *"LAGVSERTIDPKQNFYMHWCXBUZO.-",
    *("<null_1>", "<mask>"),
]
NUCLEOTIDE_TRANSFORMER = [
    *("<unk>", "<pad>", "<mask>", "<cls>"),
    *map("".join, itertools.product("ATCG", repeat=6)),
    *"ATCGN",
]


def esm_tokenizer(folder: Path, entries: list[str], **options: Any):
    """An EsmTokenizer of transformers with a vocabulary of `entries`."""
    from transformers import EsmTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(entries), encoding="utf-8")
    return EsmTokenizer(str(folder / "vocab.txt"), **options)


def proteins(count: int, *, seed: int = 0, length: int = 300) -> list[str]:
    """Random proteins, some with rare letters, gaps, masks and lower case."""
    draw = random.Random(seed)
    alphabets = ["LAGVSERTIDPKQNFYMHWC"] * 6 + ["LAGXBUZO.-*", "LAGlag", "LA GV\tS\n"]
    texts = [
        "".join(draw.choices(draw.choice(alphabets), k=draw.randint(0, length)))
        for _ in range(count)
    ]
    return [f"{text}<mask>{text[::-1]}" if draw.random() < 0.1 else text for text in texts]


def genome(count: int, *, seed: int = 0, length: int = 2000) -> list[str]:
    """Random DNA, with runs of N, soft masking and other letters in some."""
    draw = random.Random(seed)
    texts = []
    for _ in range(count):
        parts = []
        for _ in range(draw.randint(1, 6)):
            letters = draw.choice(["ACGT", "ACGT", "ACGT", "N", "acgt", "ACGTRYKM-", "AT"])
            parts.append("".join(draw.choices(letters, k=draw.randint(0, length // 3))))
        texts.append("".join(parts))
    return texts
