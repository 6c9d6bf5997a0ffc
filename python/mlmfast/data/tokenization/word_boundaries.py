"""Which entries of a vocabulary begin a word, by the tokenizer family's own marker."""

from __future__ import annotations

import functools
import unicodedata
import warnings
from collections.abc import Collection
from typing import Any, Literal, cast, get_args

import numpy as np

from mlmfast.errors import InputError
from mlmfast.options import check_choice

# A marker in front of a piece, and whether it says that the piece begins a word (byte-level BPE
# writes a leading space as U+0120, SentencePiece as U+2581) or goes on with one (WordPiece).
_MARKERS = {"##": False, "\u0120": True, "\u2581": True}
# Markers behind a piece: the next piece goes on with its word (PhoBERT), or it ends one (XLM).
_ENDINGS = ("@@", "</w>")
# Line feed, carriage return and tab in byte-level BPE's alphabet: a piece that begins with one of
# them follows white space as well.
_BYTE_LEVEL_SPACES = ("\u010a", "\u010d", "\u0109")

WordBoundaries = Literal["marker", "characters"]
# Scripts that are written without blanks between words, as ranges of code points: Thai and Lao;
# Tibetan; Myanmar; Khmer; CJK punctuation, Hiragana and Katakana; Han; the full-width forms.
_WITHOUT_BLANKS = (
    (0x0E00, 0x0EFF),
    (0x0F00, 0x0FFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x2E80, 0x30FF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF01, 0xFF9F),
    (0x20000, 0x323AF),
)
# Kana that no word begins with: small ones, the signs of a long vowel and of repetition.
_KANA_INSIDE = frozenset(
    "\u3005\u3041\u3043\u3045\u3047\u3049\u3063\u3083\u3085\u3087\u308e\u309d\u309e"
    "\u30a1\u30a3\u30a5\u30a7\u30a9\u30c3\u30e3\u30e5\u30e7\u30ee\u30fc\u30fd\u30fe"
)
# Mean tokens of a word from which on a text can only be one without blanks. English has 1.3 and
# agglutinative languages 2 to 4; Japanese in XLM-R's vocabulary has more than 20.
_LONG_WORDS = 8


def known_boundaries(name: str) -> WordBoundaries:
    """Return `name`, if it is one that `boundaries` takes.

    Raises:
        InputError: It is not.
    """
    check_choice("word boundaries", name, get_args(WordBoundaries), quoted=True)
    return cast("WordBoundaries", name)


def word_starts(
    tokenizer: Any, vocab_size: int, *, boundaries: WordBoundaries = "marker"
) -> np.ndarray[Any, Any]:
    """For each id, whether its piece begins a word.

    The family is the one whose marker stands in front of the most pieces; in a vocabulary without
    any marker every piece is a word.

    Args:
        tokenizer: A transformers tokenizer, fast or slow.
        vocab_size: Number of ids, added tokens included.
        boundaries: `"marker"`: the marker alone tells, and a text without blanks is one long word.
            `"characters"`: a piece begins a word too where its first character belongs to a script
            that is written without blanks (Han, Hiragana, Katakana, Thai, Lao, Khmer, Myanmar,
            Tibetan) and can begin a word (a sign of a long vowel, a small kana or a combining mark
            cannot).

    Returns:
        bool `[vocab_size]`; ids without a piece begin a word.

    Raises:
        InputError: The marker stands behind the pieces: then no piece tells by itself whether it
            begins a word.
    """
    pieces = {index: piece for piece, index in tokenizer.get_vocab().items()}
    marker, count = _commonest_marker(pieces.values())
    for ending in _ENDINGS:
        if sum(piece.endswith(ending) for piece in pieces.values()) > count:
            known = ", ".join(repr(name) for name in _MARKERS)
            raise InputError(
                f"Whole words are found by a marker in front of the pieces ({known}), and this "
                f"vocabulary has {ending!r} behind them: mask tokens or spans of tokens instead."
            )
    known_boundaries(boundaries)
    starts = np.ones(vocab_size, dtype=np.bool_)
    if not count:
        return starts
    begins = _MARKERS[marker]
    fronts = (marker, *_BYTE_LEVEL_SPACES) if marker == "\u0120" else (marker,)
    # An added token is written as in the text, with the blank itself in the marker's place.
    fronts = (*fronts, " ") if begins else fronts
    for index, piece in pieces.items():
        if index < vocab_size:
            starts[index] = piece.startswith(fronts) == begins or (
                boundaries == "characters" and _begins_by_character(piece, marker)
            )
    return starts


def _begins_by_character(piece: str, marker: str) -> bool:
    """Whether the first character is of a script without blanks, and one that can begin a word."""
    first = piece.removeprefix(marker)[:1]
    if marker == "\u0120":
        first = _first_of_bytes(piece)
    return (
        any(low <= ord(letter) <= high for letter in first for low, high in _WITHOUT_BLANKS)
        and first not in _KANA_INSIDE
        and not unicodedata.category(first).startswith("M")
    )


def _first_of_bytes(piece: str) -> str:
    """The first character of a byte-level piece; "" where it begins in the middle of one."""
    known = (_byte_of(letter) for letter in piece[:4])
    spelled = bytes(byte for byte in known if byte is not None)
    if not spelled or 0x80 <= spelled[0] < 0xC0:
        return ""
    decoded = spelled.decode("utf-8", errors="replace")[0]
    if decoded != "\ufffd":
        return decoded
    # Only the first bytes of a character: nearly all that begin with these are of Han.
    return "\u4e00" if 0xE4 <= spelled[0] <= 0xE9 else ""


@functools.cache
def _byte_of(letter: str) -> int | None:
    """The byte that a letter of byte-level BPE's alphabet stands for; None for other letters."""
    printed = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    if ord(letter) in printed:
        return ord(letter)
    others = [byte for byte in range(256) if byte not in printed]
    return others[ord(letter) - 256] if 256 <= ord(letter) < 256 + len(others) else None


def warn_of_long_words(ids: Any, starts: Any, special: Any) -> None:
    """Warn where the words of a sample are so long that most rows would stay unmasked.

    Args:
        ids: Rows of ids `[B, L]`.
        starts: bool `[vocab_size]`, whether an id begins a word.
        special: bool `[B, L]`, true for tokens that belong to no word.
    """
    ordinary = ~np.asarray(special, np.bool_)
    ids = np.minimum(np.asarray(ids), len(starts) - 1)
    begins = np.asarray(starts)[ids] & ordinary
    begins[:, 1:] |= ordinary[:, 1:] & ~ordinary[:, :-1]
    begins[:, :1] |= ordinary[:, :1]
    words = int(begins.sum())
    if words and (mean := ordinary.sum() / words) > _LONG_WORDS:
        warnings.warn(
            f"The whole words of this text have {mean:.0f} tokens on average, as those of a text "
            "without blanks do: most rows will have no mask, and the others little else. Have them "
            "found by their characters, word_boundaries='characters' (a collator's; for loaders "
            "and mask_tokens word_starts=mlmfast.data.tokenization.word_boundaries.word_starts("
            "tokenizer, vocab_size, boundaries='characters')), or mask tokens or spans.",
            UserWarning,
            stacklevel=3,
        )


def has_space_prefix(tokenizer: Any) -> bool:
    """Whether a vocabulary writes the blank before a word into the word's first piece."""
    marker, count = _commonest_marker(tokenizer.get_vocab())
    return count > 0 and _MARKERS[marker]


def _commonest_marker(pieces: Collection[str]) -> tuple[str, int]:
    """The marker that stands in front of the most pieces, and of how many."""
    counts = {marker: sum(piece.startswith(marker) for piece in pieces) for marker in _MARKERS}
    marker = max(counts, key=lambda name: counts[name])
    return marker, counts[marker]


def word_ends(starts: np.ndarray[Any, Any], ordinary: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """For each token of a row, where its word ends: the first position behind it.

    Args:
        starts: bool `[L]`, whether the token's id begins a word.
        ordinary: bool `[L]`, false for special tokens, which belong to no word.

    Returns:
        int64 `[L]`.

    Examples:
        >>> flags = np.array([True, True, False, False, True])
        >>> word_ends(flags, np.ones(5, dtype=bool)).tolist()
        [1, 4, 4, 4, 5]
    """
    length = len(starts)
    begins = starts | ~ordinary
    begins[1:] |= ~ordinary[:-1]
    firsts = np.append(np.flatnonzero(begins), length)
    return firsts[np.searchsorted(firsts, np.arange(length), side="right")]
