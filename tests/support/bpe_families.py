"""Tokenizers of the BPE families that ../shared/data has no file of, made from what it has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from bpe_patterns import split_form
from sentencepiece_bpe import PIPELINES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_SIGN = "\u2581"
_VOCAB_SIZE = 12_000


def _behind_split(pattern: str, source: str, **model: bool) -> Callable[[Path, list[str]], str]:
    """A vocabulary of `source`, and words by another pattern."""

    def make(tokenizers: Path, _: list[str]) -> str:
        form = json.loads((tokenizers / source / "tokenizer.json").read_text())
        form["pre_tokenizer"] = split_form(pattern)
        form["model"].update(model)
        kept = (token for token in form["added_tokens"] if not token["content"].isspace())
        form["added_tokens"] = list(kept)
        return json.dumps(form)

    return make


def _trained(pipeline: str, *, byte_fallback: bool) -> Callable[[Path, list[str]], str]:
    """A vocabulary of words and runs of spaces, trained on some text."""

    def make(_: Path, texts: Iterable[str]) -> str:
        specials = ["<unk>", "<s>", "</s>", "<mask>"]
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
        trainer = trainers.BpeTrainer(
            vocab_size=_VOCAB_SIZE, special_tokens=specials, show_progress=False, limit_alphabet=900
        )
        tokenizer.train_from_iterator(texts, trainer)
        form = json.loads(tokenizer.to_str())
        form["normalizer"], form["pre_tokenizer"] = PIPELINES[pipeline]
        model = form["model"]
        vocab, merges = model["vocab"], model["merges"]
        for count in (2, 4, 8, 16):
            half = _SIGN * (count // 2)
            merges.append([half, half])
            vocab.setdefault(half * 2, len(vocab))
        for byte in range(256):
            vocab.setdefault(f"<0x{byte:02X}>", len(vocab))
        model["byte_fallback"] = byte_fallback
        return json.dumps(form)

    return make


FAMILIES: dict[str, Callable[[Path, list[str]], str]] = {
    "llama3": _behind_split("llama3", "roberta-base", ignore_merges=True),
    "qwen": _behind_split("qwen", "modernbert-base"),
    "o200k": _behind_split("o200k", "roberta-base", ignore_merges=True),
    "tekken": _behind_split("tekken", "roberta-base"),
    "marks": _behind_split("marks", "modernbert-base"),
    "llama2": _trained("llama2", byte_fallback=True),
    "gemma": _trained("gemma", byte_fallback=True),
    "mistral": _trained("mistral", byte_fallback=False),
    "spm-bpe-words": _trained("always", byte_fallback=True),
}
