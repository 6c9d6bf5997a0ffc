"""The edges of a model's own rules."""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Any

from mlmfast.data.tokenization.verification.edges.borders import at_borders
from mlmfast.data.tokenization.verification.edges.vocabulary import (
    joined,
    unknown_texts,
    vocabulary_texts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlmfast.data.tokenization.verification.edges.vocabulary import Vocabulary

_MOST_LETTERS = 300
_CONTINUED = 60


def _wordpiece(model: dict[str, Any], vocabulary: Vocabulary) -> Iterator[str]:
    """Words as long as the model takes, in characters, and chains of pieces."""
    limit = min(model.get("max_input_chars_per_word") or 100, _MOST_LETTERS)
    for letter in ("a", "\u00e9", "\u0436", "\u05d0", "\U0001d518", vocabulary.unknown[0]):
        for count in (limit - 1, limit, limit + 1):
            yield from (letter * count, f"x {letter * count}.", f"{letter * count}e\u0301")
    prefix = model.get("continuing_subword_prefix") or ""
    inner = [token for token in vocabulary.tokens if prefix and token.startswith(prefix)]
    start = _lone_letter(vocabulary)
    yield from joined([start + token.removeprefix(prefix) for token in inner], " ")
    inner = inner[:: max(1, len(inner) // _CONTINUED)]
    yield from (prefix, f"a{prefix}b", f"{prefix}a", f"a {prefix} b")
    for number, token in enumerate(inner):
        text, other = token.removeprefix(prefix), inner[number - 1].removeprefix(prefix)
        yield from (
            text,
            f"{text}{other}",
            f"a{text}{other}{text}",
            token,
            f"{text}{vocabulary.unknown[0]}",
        )


def _lone_letter(vocabulary: Vocabulary) -> str:
    """Return a letter that begins one token only, so that the rest of a word is a piece's."""
    starts = Counter(token[:1] for token in vocabulary.tokens)
    letters = (token for token in vocabulary.tokens if len(token) == 1 and starts[token] == 1)
    return next((letter for letter in letters if _is_plain(letter)), "a")


def _is_plain(letter: str) -> bool:
    """Whether no normalizer changes a letter, nor a pre-tokenizer splits at it."""
    kind = unicodedata.category(letter)
    name = unicodedata.name(letter, "")
    return kind == "Ll" and unicodedata.normalize("NFKD", letter) == letter and "CJK" not in name


def _bpe(model: dict[str, Any], vocabulary: Vocabulary) -> Iterator[str]:
    """Repeated and interleaved parts of merges, which compete for the same letters."""
    merges = model.get("merges") or []
    step = max(1, len(merges) // _CONTINUED)
    for merge in (*merges[:_CONTINUED], *merges[::step], *merges[-_CONTINUED:]):
        left, right = merge if isinstance(merge, list) else merge.split(" ", 1)
        left, right = vocabulary.text(left), vocabulary.text(right)
        yield from (f"{left}{right}", f"{left}{left}{right}{right}", f"{right}{left}{right}{left}")
        yield f"{(left + right) * 9} {right * 17}{left * 17}"
    for affix in (model.get("continuing_subword_prefix"), model.get("end_of_word_suffix")):
        if affix:
            yield from (affix, f"a{affix}b", f"a{affix} b", f"{affix}{affix}")
    yield from ("<0x41>", "<0xE2>", "a<0x0A>b")


def _unigram(model: dict[str, Any], vocabulary: Vocabulary) -> Iterator[str]:
    """Pieces of equal scores beside each other, and words as long as many pieces."""
    by_score: dict[float, list[str]] = {}
    for piece, score in model.get("vocab") or []:
        by_score.setdefault(score, []).append(vocabulary.text(piece))
    equal = [pieces for pieces in by_score.values() if len(pieces) > 1]
    for pieces in equal[:_CONTINUED]:
        yield from ("".join(pieces[:8]), "".join(pieces[7::-1]), " ".join(pieces[:8]))
    for text in vocabulary.drawn[:_CONTINUED]:
        yield text * 12
    yield from ("<0x41>", "<0xE2>", "a<0x0A>b")


def _word_level(_model: dict[str, Any], vocabulary: Vocabulary) -> Iterator[str]:
    """Words with letters more or fewer, and in the other case."""
    for text in vocabulary.drawn[:_CONTINUED]:
        yield from (text.upper(), text.lower(), f"{text}{text}", f"{text} {text}{text[:1]} {text}")
        yield from at_borders(text)


_MODELS: dict[str, Callable[[dict[str, Any], Vocabulary], Iterator[str]]] = {
    "WordPiece": _wordpiece,
    "BPE": _bpe,
    "Unigram": _unigram,
    "WordLevel": _word_level,
}


def model_texts(vocabulary: Vocabulary) -> Iterator[str]:
    """Yield the edges of a model, of whatever kind."""
    yield from vocabulary_texts(vocabulary)
    yield from unknown_texts(vocabulary)
    own = _MODELS.get(vocabulary.model.get("type", ""))
    if own is not None:
        yield from own(vocabulary.model, vocabulary)
