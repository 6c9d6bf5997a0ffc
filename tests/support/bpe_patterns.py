"""Byte-level BPE behind `Split`, with the patterns in use, and ids that show where words end."""

from __future__ import annotations

import json
import random
from functools import cache

from tokenizers import Tokenizer, pre_tokenizers

_CASES = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
_LINES = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPERS = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWERS = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_BEFORE = r"[^\r\n\p{L}\p{N}]?"
_SLASHES = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _cased(suffix: str, number: str) -> str:
    small = f"{_BEFORE}{_UPPERS}*{_LOWERS}+{suffix}|"
    return f"{small}{_BEFORE}{_UPPERS}+{_LOWERS}*{suffix}|{number}|{_SLASHES}"


_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
PATTERNS = {
    "llama3": _CASES + r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|" + _LINES,
    "qwen": _CASES + r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|" + _LINES,
    "cl100k": (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}|"
        r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
    ),
    "lines": r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|" + _LINES,
    "o200k": _cased(_CASES[:-1] + "?", r"\p{N}{1,3}"),
    "tekken": _cased("", r"\p{N}"),
    "marks": (
        _CASES + r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|"
        r"\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "gpt2": _GPT2,
    "gpt2-short": _GPT2.replace("'s|'t|'re|'ve|'m|'ll|'d", "'(?:[sdmt]|ll|ve|re)"),
}
SEEDS = 2


def split_form(pattern: str, behavior: str = "Isolated", invert: bool = False) -> dict:
    """The pre-tokenizer that splits by a regular expression and writes bytes as characters."""
    split = {
        "type": "Split",
        "pattern": {"Regex": PATTERNS.get(pattern, pattern)},
        "behavior": behavior,
        "invert": invert,
    }
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": False,
    }
    return {"type": "Sequence", "pretokenizers": [split, byte_level]}


@cache
def border_tokenizer(
    pattern: str, seed: int = 0, nfc: bool = False, behavior: str = "Isolated", invert: bool = False
) -> Tokenizer:
    """A tokenizer that merges any two bytes of different characters, in an order that `seed` says.

    Where a word ends, the bytes around are not merged: the ids show it.
    """
    letters = _byte_letters()
    vocab = {letter: number for number, letter in enumerate(letters)}
    plain = [*letters[9:14], *letters[32:127]]
    merges = sorted(
        (left, right) for left in plain + letters[0x80:0xC0] for right in plain + letters[0xC2:0xF5]
    )
    random.Random(seed).shuffle(merges)
    for left, right in merges:
        vocab.setdefault(left + right, len(vocab))
    return Tokenizer.from_str(
        json.dumps(
            {
                "version": "1.0",
                "truncation": None,
                "padding": None,
                "added_tokens": [],
                "normalizer": {"type": "NFC"} if nfc else None,
                "pre_tokenizer": split_form(pattern, behavior, invert),
                "post_processor": None,
                "decoder": None,
                "model": {"type": "BPE", "vocab": vocab, "merges": merges},
            }
        )
    )


def _byte_letters() -> list[str]:
    shown = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = (chr(code) for code in range(256, 512))
    letters = [chr(byte) if byte in shown else next(others) for byte in range(256)]
    assert set(letters) == set(pre_tokenizers.ByteLevel.alphabet())
    return letters
