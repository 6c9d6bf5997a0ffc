"""What a collator needs to know about its tokenizer, cached until the tokenizer changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlmfast.data.tokenization.word_boundaries import (
    WordBoundaries,
    warn_of_long_words,
    word_starts,
)


class VocabularyCache:
    """The size of a tokenizer's vocabulary, and which ids begin a word.

    Attributes:
        words_checked: Whether `check_word_lengths` was called.
    """

    def __init__(self) -> None:
        # The keys of each cached value, and the value.
        self._size: tuple[Any, int, int] | None = None
        self._starts: tuple[Any, int, str, bytes] | None = None
        self.words_checked = False

    def size(self, tokenizer: Any) -> int:
        """Return the number of ids, added tokens included.

        `len` of a fast tokenizer counts its whole vocabulary, which takes longer than the rest of a
        collator's call; only added tokens make it grow.
        """
        if (decoder := getattr(tokenizer, "added_tokens_decoder", None)) is None:
            return len(tokenizer)
        added, cached = len(decoder), self._size
        if cached is None or cached[0] is not tokenizer or cached[1] != added:
            cached = self._size = tokenizer, added, len(tokenizer)
        return cached[2]

    def word_starts(self, tokenizer: Any, size: int, boundaries: WordBoundaries) -> bytes:
        """Return one byte for each id, 1 where it begins a word."""
        cached = self._starts
        if cached is None or cached[0] is not tokenizer or cached[1:3] != (size, boundaries):
            starts = word_starts(tokenizer, size, boundaries=boundaries).tobytes()
            cached = self._starts = tokenizer, size, boundaries, starts
        return cached[3]

    def check_word_lengths(self, ids: np.ndarray, starts: bytes, special: np.ndarray) -> None:
        """Warn if the words of a batch are very long.

        Args:
            ids: The batch `[B, L]`.
            starts: What `word_starts` returned.
            special: `[B, L]`, true for tokens that belong to no word.
        """
        self.words_checked = True
        warn_of_long_words(ids, np.frombuffer(starts, np.bool_), special)
