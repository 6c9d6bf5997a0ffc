"""Which entries of a vocabulary begin a word, by the tokenizer family's own marker."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from mlmfast.errors import InputError

# A marker in front of a piece, and whether it says that the piece begins a word (byte-level BPE
# writes a leading space as U+0120, SentencePiece as U+2581) or goes on with one (WordPiece).
_MARKERS = {"##": False, "\u0120": True, "\u2581": True}
# Markers behind a piece: the next piece goes on with its word (PhoBERT), or it ends one (XLM).
_ENDINGS = ("@@", "</w>")
# Line feed, carriage return and tab in byte-level BPE's alphabet: a piece that begins with one of
# them follows white space as well.
_BYTE_LEVEL_SPACES = ("\u010a", "\u010d", "\u0109")


def word_starts(tokenizer: Any, vocab_size: int) -> np.ndarray[Any, Any]:
    """For each id, whether its piece begins a word.

    The family is the one whose marker stands in front of the most pieces; in a vocabulary without
    any marker every piece is a word.

    Args:
        tokenizer: A transformers tokenizer, fast or slow.
        vocab_size: Number of ids, added tokens included.

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
    starts = np.ones(vocab_size, dtype=np.bool_)
    if not count:
        return starts
    begins = _MARKERS[marker]
    fronts = (marker, *_BYTE_LEVEL_SPACES) if marker == "\u0120" else (marker,)
    # An added token is written as in the text, with the blank itself in the marker's place.
    fronts = (*fronts, " ") if begins else fronts
    for index, piece in pieces.items():
        if index < vocab_size:
            starts[index] = piece.startswith(fronts) == begins
    return starts


def blank_is_in_words(tokenizer: Any) -> bool:
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
