"""Whether ids mean the same tokens in two places."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlmfast.data.tokenizer_files import LoadedTokenizer


def difference_of(one: LoadedTokenizer, other: LoadedTokenizer) -> str | None:
    """Say how the vocabularies of two tokenizers differ; None where every id is the same token.

    Files may differ where vocabularies do not (other versions, padding switched on), so tokens are
    compared, not hashes.
    """
    if one.sha256 == other.sha256:
        return None
    first, second = (each.tokenizer.get_vocab() for each in (one, other))
    moved = sum(second.get(token) != index for token, index in first.items())
    new = sum(token not in first for token in second)
    if not moved and not new:
        return None
    return (
        f"{len(first):,} and {len(second):,} tokens, of which "
        f"{len(first) - moved:,} have the same id in both"
    )
