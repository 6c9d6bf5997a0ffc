"""BPE over characters in the pipelines of Llama 2, Mistral and Gemma, made here."""

from __future__ import annotations

import json
import random
from functools import cache

from tokenizers import Tokenizer

_SIGN = "\u2581"
_REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": _SIGN}
_PREPEND = {"type": "Prepend", "prepend": _SIGN}


def _metaspace(scheme: str, split: bool) -> dict:
    return {
        "type": "Metaspace",
        "replacement": _SIGN,
        "prepend_scheme": scheme,
        "split": split,
    }


def _split(pattern: str, behavior: str) -> dict:
    return {"type": "Split", "pattern": {"String": pattern}, "behavior": behavior, "invert": False}


PIPELINES: dict[str, tuple[dict | None, dict | None]] = {
    "llama2": ({"type": "Sequence", "normalizers": [_PREPEND, _REPLACE]}, None),
    "gemma": (_REPLACE, _split(" ", "MergedWithPrevious")),
    "replace": (_REPLACE, None),
    "split": (_REPLACE, _split(_SIGN, "MergedWithNext")),
    "mistral": (None, _metaspace("first", False)),
    "always": (None, _metaspace("always", True)),
    "never": (None, _metaspace("never", True)),
    "never-whole": (None, _metaspace("never", False)),
}
# What becomes of characters that the vocabulary lacks.
UNKNOWN: dict[str, dict] = {
    "bytes": {"byte_fallback": True, "unk_token": "<unk>", "fuse_unk": True},
    "fused": {"byte_fallback": False, "unk_token": "<unk>", "fuse_unk": True},
    "unknown": {"byte_fallback": False, "unk_token": "<unk>", "fuse_unk": False},
}
LETTERS = [_SIGN, *"abcdeth.,;12\u00e9\u00fc\u8a9e\u672c\u306e\U0001f600"]


@cache
def spm_bpe(
    pipeline: str, unknown: str = "bytes", seed: int = 0, ignore_merges: bool = False
) -> Tokenizer:
    """A tokenizer with random merges, of which none joins a space to what is before it."""
    normalizer, pre_tokenizer = PIPELINES[pipeline]
    draw = random.Random(seed)
    vocab: dict[str, int] = {}
    for token in ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *LETTERS]:
        vocab.setdefault(token, len(vocab))
    # Some vocabularies join characters of all kinds, some only letters to letters.
    kinds = draw.choice([str.isalpha, lambda c: c != "1", lambda _: True])
    known, merges = list(LETTERS), []
    while len(merges) < 150:
        left, right = draw.choice(known), draw.choice(known)
        if draw.random() < 0.4:
            left = draw.choice([_SIGN, _SIGN * 2, *"abet"])
        runs = not left.strip(_SIGN)
        if (_SIGN in right and not runs) or [left, right] in merges or len(left + right) > 8:
            continue
        if not runs and not (kinds(left[-1]) and kinds(right[0])):
            continue
        if left not in vocab:
            continue
        merges.append([left, right])
        vocab.setdefault(left + right, len(vocab))
        known.append(left + right)
    if ignore_merges:
        for word in (_SIGN + "thead", "abcdeth", _SIGN + "ab\u8a9e.", _SIGN + "x"):
            vocab.setdefault(word, len(vocab))
    added = [
        {
            "id": vocab.setdefault(content, len(vocab)),
            "content": content,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for content in ("<unk>", "<s>", "</s>", "<mask>")
    ]
    return Tokenizer.from_str(
        json.dumps(
            {
                "version": "1.0",
                "truncation": None,
                "padding": None,
                "added_tokens": added,
                "normalizer": normalizer,
                "pre_tokenizer": pre_tokenizer,
                "post_processor": None,
                "decoder": None,
                "model": {
                    "type": "BPE",
                    "vocab": vocab,
                    "merges": merges,
                    "ignore_merges": ignore_merges,
                    **UNKNOWN[unknown],
                },
            }
        )
    )
