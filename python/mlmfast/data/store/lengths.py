"""The lengths of a block store's rows without padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlmfast.data.store.store import BlockStore

# Rows read at a time, which bounds the memory.
_ROWS = 1 << 14


def block_lengths(store: BlockStore, count: int) -> np.ndarray:
    """Count the tokens before the padding in each of the first `count` blocks.

    Returns:
        int32 `[count]`.
    """
    pad = store.manifest.pad_token_id
    lengths = np.full(count, store.block_size, dtype=np.int32)
    if pad is None:
        return lengths
    for first in range(0, count, _ROWS):
        rows = store[first : min(first + _ROWS, count)]
        ordinary = rows != pad
        # The last token that is not padding ends the row.
        ends = store.block_size - ordinary[:, ::-1].argmax(1)
        lengths[first : first + len(rows)] = np.where(ordinary.any(1), ends, 0)
    return lengths
