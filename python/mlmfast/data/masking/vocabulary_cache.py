"""What a collator has to know of its tokenizer, found again only where the tokenizer changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlmfast.data.tokenization.word_boundaries import (
    WordBoundaries,
    warn_of_long_words,
    word_starts,
)


class VocabularyCache:
    """The size of a tokenizer's vocabulary, and where its words begin.

    Attributes:
        measured: Whether the words of a batch were measured.
    """

    def __init__(self) -> None:
        # What each was found for, and what was found.
        self._size: tuple[Any, int, int] | None = None
        self._starts: tuple[Any, int, str, bytes] | None = None
        self.measured = False

    def size(self, tokenizer: Any) -> int:
        """Number of ids, added tokens included.

        A fast tokenizer counts its whole vocabulary for `len`, which takes longer than all the rest
        of a collator's call; it grows by added tokens alone.
        """
        if (decoder := getattr(tokenizer, "added_tokens_decoder", None)) is None:
            return len(tokenizer)
        added, known = len(decoder), self._size
        if known is None or known[0] is not tokenizer or known[1] != added:
            known = self._size = tokenizer, added, len(tokenizer)
        return known[2]

    def word_starts(self, tokenizer: Any, size: int, boundaries: WordBoundaries) -> bytes:
        """One byte an id, 1 where it begins a word."""
        known = self._starts
        if known is None or known[0] is not tokenizer or known[1:3] != (size, boundaries):
            starts = word_starts(tokenizer, size, boundaries=boundaries).tobytes()
            known = self._starts = tokenizer, size, boundaries, starts
        return known[3]

    def measure_words(self, ids: np.ndarray, starts: bytes, special: np.ndarray) -> None:
        """Warn of very long words in the first batch.

        Args:
            ids: The batch `[B, L]`.
            starts: As `word_starts` gives them.
            special: `[B, L]`, true for tokens that belong to no word.
        """
        self.measured = True
        warn_of_long_words(ids, np.frombuffer(starts, np.bool_), special)
