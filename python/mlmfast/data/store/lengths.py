"""The lengths of a block store's rows without padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlmfast.data.store.store import BlockStore


def longest_document(store: BlockStore) -> int:
    """Return the tokens of the longest document, or part of one, in a block; padding is none.

    Args:
        store: the blocks; one that does not know its documents has the length of a block.
    """
    known = store.document_starts
    if known is None:
        return store.block_size
    lengths = block_lengths(store, len(store))
    longest = first = 0
    for offsets, starts in known:
        ends = np.empty_like(starts)
        ends[:-1] = starts[1:]
        ends[offsets[1:] - 1] = lengths[first : first + len(offsets) - 1]
        longest = max(longest, int((ends - starts).max(initial=0)))
        first += len(offsets) - 1
    return longest


def block_lengths(store: BlockStore, count: int) -> np.ndarray:
    """Count the tokens before the padding in each of the first `count` blocks.

    Returns:
        int32 `[count]`.
    """
    from mlmfast import _core

    pad = store.manifest.pad_token_id
    lengths = np.full(count, store.block_size, dtype=np.int32)
    if pad is not None and count and store.manifest.padding_tokens:
        # Not all of a store that is elsewhere, where a part will do.
        shards = list(store.shards) if count == len(store) else [store[:count]]
        _core.block_lengths(shards, lengths, pad_id=pad, threads=None)
    return lengths
