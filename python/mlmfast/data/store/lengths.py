"""The lengths of a block store's rows without padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlmfast.data.store.store import BlockStore


def block_lengths(store: BlockStore, count: int) -> np.ndarray:
    """Count the tokens before the padding in each of the first `count` blocks.

    Returns:
        int32 `[count]`.
    """
    from mlmfast import _core

    pad = store.manifest.pad_token_id
    lengths = np.full(count, store.block_size, dtype=np.int32)
    if pad is not None and count:
        _core.block_lengths(list(store.shards), lengths, pad_id=pad, threads=None)
    return lengths
