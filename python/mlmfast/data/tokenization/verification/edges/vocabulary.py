"""Texts made of a tokenizer's own vocabulary."""

from __future__ import annotations

import random
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlmfast.data.tokenization.verification.edges.borders import at_borders

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LONGEST, _SHORTEST, _DRAWN = 40, 40, 2000
_MIXTURES, _MOST_MIXED = 600, 7
_TOKENS_PER_TEXT = 100
_MOST_BESIDE_UNKNOWN = 70_000
_SEPARATORS = ("", "", "", " ", " ", "  ", "\n", ".", "'", "1")
# Characters that few vocabularies hold, of two to four bytes.
_RARE = "\u2603\u0237\ua66e\u16a0\u2c80\U0001d518\U000104b0\U00012000\u4dae\u0fd0"


class Vocabulary:
    """The tokens of a tokenizer.json."""

    def __init__(self, content: dict[str, Any]) -> None:
        """Read the model's vocabulary of `content`, a tokenizer.json."""
        self.model: dict[str, Any] = content["model"]
        steps = [*steps_of(content.get("pre_tokenizer")), *steps_of(content.get("normalizer"))]
        self._by_bytes = any(step.get("type") == "ByteLevel" for step in steps)
        self._draw = random.Random(34)  # noqa: S311 - no secret

    @cached_property
    def tokens(self) -> list[str]:
        """The tokens as the file writes them, in the order of their ids."""
        vocab = self.model.get("vocab") or {}
        if isinstance(vocab, dict):
            return sorted(vocab, key=vocab.__getitem__)
        return [entry[0] for entry in vocab]

    @cached_property
    def texts(self) -> list[str]:
        """What the tokens stand for, without empty texts."""
        prefix = self.model.get("continuing_subword_prefix") or ""
        suffix = self.model.get("end_of_word_suffix") or ""
        texts = (
            self.text(token.removeprefix(prefix).removesuffix(suffix)) for token in self.tokens
        )
        return [text for text in texts if text]

    @cached_property
    def drawn(self) -> list[str]:
        """Some texts of tokens: the longest, the shortest, and a sample."""
        by_length = sorted(set(self.texts), key=len)
        drawn = self._draw.sample(by_length, min(_DRAWN, len(by_length)))
        return [*by_length[-_LONGEST:], *by_length[:_SHORTEST], *drawn]

    @cached_property
    def unknown(self) -> list[str]:
        """Characters that are in no token, or in few."""
        known = set().union(*self.tokens) if self.tokens else set()
        return [c for c in _RARE if c not in known] or list(_RARE)

    def text(self, token: str) -> str:
        """Return what a token stands for."""
        if self._by_bytes:
            found = bytes(_BYTES.get(letter, 0x3F) for letter in token)
            return found.decode(errors="ignore")
        return token.replace("\u2581", " ")


def steps_of(part: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return the steps of a normalizer or a pre-tokenizer, sequences taken apart."""
    if not part:
        return []
    inner = part.get("normalizers", part.get("pretokenizers"))
    if inner is None:
        return [part]
    return [step for one in inner for step in steps_of(one)]


def vocabulary_texts(vocabulary: Vocabulary) -> Iterator[str]:
    """Yield texts with every token, its longest ones at block borders, and mixtures of tokens."""
    texts = vocabulary.texts
    yield from joined(texts, " ")
    # Beside an unknown sign, most tokens stay whole that do not begin a word.
    yield from joined(texts[:: 1 + len(texts) // _MOST_BESIDE_UNKNOWN], vocabulary.unknown[0])
    drawn = vocabulary.drawn
    for text in drawn[:_LONGEST]:
        yield from at_borders(text)
        yield from (text * 2, text[:-1], text[1:], f"{text[:-1]} {text[-1:]}", f"{text}{text[-1:]}")
    if not drawn:
        return
    draw = random.Random(21)  # noqa: S311 - no secret
    for _ in range(_MIXTURES):
        parts = []
        for _ in range(draw.randint(1, _MOST_MIXED)):
            parts += [draw.choice(drawn), draw.choice(_SEPARATORS)]
        yield "".join(parts)


def joined(texts: Sequence[str], separator: str) -> Iterator[str]:
    """Yield all texts, many at a time."""
    for start in range(0, len(texts), _TOKENS_PER_TEXT):
        yield separator.join(texts[start : start + _TOKENS_PER_TEXT])


def unknown_texts(vocabulary: Vocabulary) -> Iterator[str]:
    """Yield texts with characters outside of the vocabulary, alone, in runs and beside tokens."""
    first, *rest = vocabulary.unknown
    second = rest[0] if rest else first
    for many in (first, second, first + second):
        for count in (1, 2, 3, 40):
            run = many * count
            yield from (
                run,
                f"{run} {run}",
                f"a{run}b",
                f"{run}a{run}",
                f" {run}.{run} ",
                f"1{run}",
            )
    for text in vocabulary.drawn[:_SHORTEST]:
        yield f"{first}{text}{first}{second}{text}"
        yield f"{text}{first} {second}{text}"


def _bytes_of_letters() -> dict[str, int]:
    """Return the letters that stand for bytes in byte-level vocabularies."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(0x100) if byte not in shown]
    letters = {chr(byte): byte for byte in shown}
    return letters | {chr(0x100 + at): byte for at, byte in enumerate(hidden)}


_BYTES = _bytes_of_letters()
