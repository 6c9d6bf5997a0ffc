"""Which blocks of a store an index of numpy's kind chooses: `chosen_blocks`."""

from __future__ import annotations

import numpy as np


def chosen_blocks(rows: np.ndarray, count: int) -> np.ndarray:
    """Return the numbers of the blocks that an array chooses, int64 `[n]`.

    Args:
        rows: Whole numbers in one dimension, negative ones counted from the end; or booleans
            `[count]`, a mask over all blocks.
        count: The number of all blocks.

    Raises:
        IndexError: There is no such block, or the mask has another shape.
        TypeError: They are neither whole numbers nor booleans, or have several dimensions.
    """
    if rows.dtype == bool:
        if rows.shape != (count,):
            raise IndexError(
                f"an array of booleans must have one for each of the {count} blocks; "
                f"got shape {rows.shape}"
            )
        return np.flatnonzero(rows)
    if rows.size == 0:
        return np.empty(0, np.int64)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise TypeError(
            "blocks are chosen by whole numbers in one dimension; "
            f"got {rows.dtype} of shape {rows.shape}"
        )
    numbers = rows.astype(np.int64)
    outside = (numbers >= count) | (numbers < -count)
    if outside.any():
        raise IndexError(f"block {numbers[outside][0]} of a store of {count} blocks")
    return np.where(numbers < 0, numbers + count, numbers)
