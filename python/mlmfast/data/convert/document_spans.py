"""Where the documents of a store lie among all of its tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmfast.data.store.lengths import block_lengths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmfast.data.store.store import BlockStore


def document_spans(store: BlockStore) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield where each document begins, and its length, shard by shard.

    A document that continues in another block gives a span in each. In a store that does not know
    where documents begin, every block is one span.

    Yields:
        Positions among all tokens of the store, block after block, int64 `[D]`; and the numbers of
        tokens without the padding at the end of a block, int64 `[D]`, all at least 1.
    """
    size = store.block_size
    padded = store.manifest.padding_tokens > 0
    lengths = block_lengths(store, len(store)) if padded and store.document_starts else None
    first = 0
    for number, shard in enumerate(store.shards):
        blocks = np.arange(first, first + len(shard), dtype=np.int64)
        first += len(shard)
        if store.document_starts is None:
            yield blocks * size, np.full(len(shard), size, np.int64)
            continue
        offsets, starts = store.document_starts[number]
        of_block = np.repeat(blocks, np.diff(offsets))
        ends = np.empty(len(starts), np.int64)
        ends[:-1] = starts[1:]
        last = offsets[1:] - 1  # the last document of each block
        ends[last] = size if lengths is None else lengths[blocks]
        kept = ends > starts
        yield (of_block * size + starts)[kept], (ends - starts)[kept]
