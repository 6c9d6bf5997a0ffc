"""Finding the vocabulary entries that begin a word, by the marker of the tokenizer family."""

from __future__ import annotations

import functools
import unicodedata
import warnings
from collections.abc import Collection
from typing import Any, Literal, cast, get_args

import numpy as np

from mlmfast.errors import InputError
from mlmfast.options import check_choice

# Markers at the start of a piece: True if the marked piece begins a word (byte-level BPE writes a
# leading space as U+0120, SentencePiece as U+2581), False if it continues one (WordPiece).
_MARKERS = {"##": False, "\u0120": True, "\u2581": True}
# Markers at the end of a piece: the next piece continues its word (PhoBERT), or ends it (XLM).
_ENDINGS = ("@@", "</w>")
# Line feed, carriage return and tab in the alphabet of byte-level BPE: a piece that begins with one
# of them begins a word too.
_BYTE_LEVEL_SPACES = ("\u010a", "\u010d", "\u0109")

WordBoundaries = Literal["marker", "characters"]
# Scripts written without spaces between words, as ranges of code points: Thai and Lao;
# Tibetan; Myanmar; Khmer; CJK punctuation, Hiragana and Katakana; Han; the full-width forms.
_SPACELESS_SCRIPTS = (
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
# Kana that cannot begin a word: small kana, and the marks of long vowels and of repetition.
_KANA_INSIDE = frozenset(
    "\u3005\u3041\u3043\u3045\u3047\u3049\u3063\u3083\u3085\u3087\u308e\u309d\u309e"
    "\u30a1\u30a3\u30a5\u30a7\u30a9\u30c3\u30e3\u30e5\u30e7\u30ee\u30fc\u30fd\u30fe"
)
# With more tokens per word than this on average, a text must be written without spaces. English has
# 1.3 and agglutinative languages 2 to 4; Japanese in XLM-R's vocabulary has more than 20.
_MAX_MEAN_WORD_LENGTH = 8


def known_boundaries(name: str) -> WordBoundaries:
    """Return `name` if it is a valid value of `boundaries`.

    Raises:
        InputError: The name is not valid.
    """
    check_choice("word boundaries", name, get_args(WordBoundaries), quoted=True)
    return cast("WordBoundaries", name)


def word_starts(
    tokenizer: Any, vocab_size: int, *, boundaries: WordBoundaries = "marker"
) -> np.ndarray[Any, Any]:
    """Return for each id whether its piece begins a word.

    The family is the one whose marker begins the most pieces; in a vocabulary without any marker,
    every piece is a word.

    Args:
        tokenizer: A transformers tokenizer, fast or slow.
        vocab_size: Number of ids, added tokens included.
        boundaries: `"marker"`: the marker alone decides, and a text without spaces is one long
            word. `"characters"`: a piece also begins a word if its first character belongs to a
            script written without spaces (Han, Hiragana, Katakana, Thai, Lao, Khmer, Myanmar,
            Tibetan) and can begin a word (long vowel marks, small kana and combining marks cannot).

    Returns:
        bool `[vocab_size]`; ids without a piece begin a word.

    Raises:
        InputError: The marker is at the end of the pieces, so that a piece alone does not show
            whether it begins a word.
    """
    pieces = {index: piece for piece, index in tokenizer.get_vocab().items()}
    marker, count = _most_common_marker(pieces.values())
    for ending in _ENDINGS:
        if sum(piece.endswith(ending) for piece in pieces.values()) > count:
            known = ", ".join(repr(name) for name in _MARKERS)
            raise InputError(
                f"Whole words need a marker at the start of the pieces ({known}), but this "
                f"vocabulary has {ending!r} behind them: mask tokens or spans of tokens instead."
            )
    known_boundaries(boundaries)
    starts = np.ones(vocab_size, dtype=np.bool_)
    if not count:
        return starts
    begins = _MARKERS[marker]
    prefixes = (marker, *_BYTE_LEVEL_SPACES) if marker == "\u0120" else (marker,)
    # An added token is spelled as in the text, with a space in place of the marker.
    prefixes = (*prefixes, " ") if begins else prefixes
    for index, piece in pieces.items():
        if index < vocab_size:
            starts[index] = piece.startswith(prefixes) == begins or (
                boundaries == "characters" and _begins_word_by_character(piece, marker)
            )
    return starts


def _begins_word_by_character(piece: str, marker: str) -> bool:
    """Whether the first character can begin a word and its script is written without spaces."""
    first = piece.removeprefix(marker)[:1]
    if marker == "\u0120":
        first = _first_character(piece)
    return (
        any(low <= ord(letter) <= high for letter in first for low, high in _SPACELESS_SCRIPTS)
        and first not in _KANA_INSIDE
        and not unicodedata.category(first).startswith("M")
    )


def _first_character(piece: str) -> str:
    """Return the first character of a byte-level piece; "" if the piece begins inside one."""
    known = (byte_of(letter) for letter in piece[:4])
    encoded = bytes(byte for byte in known if byte is not None)
    if not encoded or 0x80 <= encoded[0] < 0xC0:
        return ""
    decoded = encoded.decode("utf-8", errors="replace")[0]
    if decoded != "\ufffd":
        return decoded
    # Only the first bytes of a character; characters with these bytes are nearly always Han.
    return "\u4e00" if 0xE4 <= encoded[0] <= 0xE9 else ""


@functools.cache
def byte_of(letter: str) -> int | None:
    """Return the byte that a letter of byte-level BPE's alphabet encodes; None for others."""
    printed = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    if ord(letter) in printed:
        return ord(letter)
    others = [byte for byte in range(256) if byte not in printed]
    return others[ord(letter) - 256] if 256 <= ord(letter) < 256 + len(others) else None


def warn_of_long_words(ids: Any, starts: Any, special: Any) -> None:
    """Warn if the words of a sample are so long that most rows would stay unmasked.

    Args:
        ids: Token ids `[B, L]`.
        starts: bool `[vocab_size]`, whether an id begins a word.
        special: bool `[B, L]`, true for tokens that belong to no word.
    """
    ordinary = ~np.asarray(special, np.bool_)
    ids = np.minimum(np.asarray(ids), len(starts) - 1)
    begins = np.asarray(starts)[ids] & ordinary
    begins[:, 1:] |= ordinary[:, 1:] & ~ordinary[:, :-1]
    begins[:, :1] |= ordinary[:, :1]
    words = int(begins.sum())
    if words and (mean := ordinary.sum() / words) > _MAX_MEAN_WORD_LENGTH:
        warnings.warn(
            f"The whole words of this text have {mean:.0f} tokens on average, as in a text without "
            "spaces: most rows will have no mask, and in the others nearly everything will be "
            "masked. Detect words by their characters: word_boundaries='characters', "
            "or for mask_tokens word_starts="
            "mlmfast.data.tokenization.word_boundaries.word_starts("
            "tokenizer, vocab_size, boundaries='characters'). Or mask tokens or spans.",
            UserWarning,
            stacklevel=3,
        )


def has_space_prefix(tokenizer: Any) -> bool:
    """Whether the first piece of a word includes the space before the word."""
    marker, count = _most_common_marker(tokenizer.get_vocab())
    return count > 0 and _MARKERS[marker]


def _most_common_marker(pieces: Collection[str]) -> tuple[str, int]:
    """Return the marker that begins the most pieces, and their number."""
    counts = {marker: sum(piece.startswith(marker) for piece in pieces) for marker in _MARKERS}
    marker = max(counts, key=lambda name: counts[name])
    return marker, counts[marker]


def word_ends(starts: np.ndarray[Any, Any], ordinary: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return for each token of a row the end of its word: the first position after the word.

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
