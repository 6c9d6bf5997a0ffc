"""Vocabularies of words, characters, amino acids and k-mers: families that no file of data has."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from mlmfast.data.tokenization.verification.edges.corpus import hard_texts
from sequences import ESM2, NUCLEOTIDE_TRANSFORMER, esm_tokenizer


def _esm(entries: list[str]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        return esm_tokenizer(Path(folder), entries)


def _word_level(pre_tokenizer: Any) -> Tokenizer:
    """A vocabulary of the characters and the words of hard texts."""
    texts = hard_texts()
    words = {word for text in texts for word in re.findall(r"\w+|\S", text)}
    entries = ["[UNK]", *sorted({letter for text in texts for letter in text}), *sorted(words)]
    ids = {word: number for number, word in enumerate(dict.fromkeys(entries))}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.add_special_tokens(["[UNK]", "[MASK]"])
    return tokenizer


def _esm_c() -> Tokenizer:
    """As EsmcTokenizer of transformers 5 makes it: ESM-2's amino acids as a BPE without merges."""
    ids = {token: number for number, token in enumerate(ESM2)}
    tokenizer = Tokenizer(models.BPE(ids, [], unk_token="<unk>"))
    tokenizer.add_special_tokens(["<unk>", "<cls>", "<pad>", "<eos>", "<mask>"])
    return tokenizer


WORD_PIPELINES: dict[str, Callable[[], Any]] = {
    "esm2": lambda: _esm(ESM2),
    "esm-c": _esm_c,
    "nucleotide-transformer": lambda: _esm(NUCLEOTIDE_TRANSFORMER),
    "words": lambda: _word_level(pre_tokenizers.Whitespace()),
    "words-digits": lambda: _word_level(
        pre_tokenizers.Sequence(
            [
                pre_tokenizers.WhitespaceSplit(),
                pre_tokenizers.Punctuation(),
                pre_tokenizers.Digits(),
            ]
        )
    ),
    "characters": lambda: _word_level(pre_tokenizers.Split(Regex(""), "isolated")),
}
