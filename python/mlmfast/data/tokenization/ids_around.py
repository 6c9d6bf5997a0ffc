"""What a tokenizer's post-processor puts around a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmfast.data.tokenization.lazy import LazyTokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Texts from which `ids_around` learns what the post-processor adds.
_PROBES = ("a b", "", " ", "Ein Satz, und noch einer.", "b", "a a a a a a a a")


def ids_around(tokenizer: Tokenizer) -> tuple[list[int], list[int]] | None:
    """Return the ids that the post-processor adds before and after a text; None if it does more."""
    if isinstance(tokenizer, LazyTokenizer):
        return tokenizer.around

    def ids(text: str, special: bool) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=special).ids

    plain, whole = ids("a b", False), ids("a b", True)
    for at in range(len(whole) - len(plain) + 1):
        before, after = whole[:at], whole[at + len(plain) :]
        if all(ids(text, True) == [*before, *ids(text, False), *after] for text in _PROBES):
            return before, after
    return None
