"""The documents of blocks, numbered position by position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmfast.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.data.store.manifest import Manifest

Starts = tuple[np.ndarray, np.ndarray]
"""Offsets int32 `[n + 1]` into positions int32 at which documents begin, of n blocks."""


def number_documents(
    shards: Sequence[np.ndarray],
    starts: Sequence[Starts],
    block_ids: np.ndarray,
    out: np.ndarray,
    manifest: Manifest,
    *,
    name: str,
    threads: int | None,
) -> np.ndarray:
    """Write the numbers of the documents of blocks to `out`, as `BlockStore.document_ids` does.

    Args:
        shards: The blocks, `[n, L]` each.
        starts: Where documents begin in each shard.
        block_ids: uint64 `[B]`, over all shards.
        out: int32 `[B, L]`.
        manifest: The manifest of the store.
        name: What messages call the store.
        threads: Threads at most; None for as many as are worth it.

    Raises:
        StoreError: The document starts are damaged.
    """
    from mlmfast import _core

    try:
        _core.document_ids(
            list(shards),
            list(starts),
            block_ids,
            out,
            pad_id=manifest.pad_token_id if manifest.padding_tokens else None,
            threads=threads,
        )
    except ValueError as error:
        raise StoreError(f"{name!r} cannot be used: {error}.") from None
    return out


def starts_of(
    block_ids: np.ndarray, first_blocks: np.ndarray, document_starts: Sequence[Starts]
) -> Starts:
    """Return where documents begin in some blocks.

    Args:
        block_ids: uint64 `[B]`.
        first_blocks: The number of each shard's first block, and that of all blocks, `[S + 1]`.
        document_starts: Where documents begin in each shard.
    """
    numbers = np.searchsorted(first_blocks, block_ids.astype(np.int64), side="right") - 1
    parts = [np.empty(0, np.int32)]
    for block, number in zip(block_ids.tolist(), numbers.tolist(), strict=True):
        offsets, starts = document_starts[number]
        row = block - int(first_blocks[number])
        parts.append(starts[offsets[row] : offsets[row + 1]])
    ends = np.cumsum([len(part) for part in parts], dtype=np.int32)
    return ends, np.concatenate(parts)
