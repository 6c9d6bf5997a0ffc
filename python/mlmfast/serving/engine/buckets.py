"""The shapes for which CUDA graphs are captured, and a batch as the smallest of them that holds it.

A captured graph is replayed with the shapes that it was captured with, so batches are filled up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmfast.serving.types import pad_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.serving.types import MaskedText

# Larger batches keep a GPU busy: starting their kernels one by one costs a small part of them.
_ROWS = (1, 2, 4, 8, 16, 32)
_LENGTHS = (16, 32, 64, 128, 256, 512)
_MASKS_PER_ROW = (1, 2, 4)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A shape.

    Attributes:
        rows: texts.
        length: tokens of each.
        masks: masks of all texts together.
    """

    rows: int
    length: int
    masks: int


def bucket_for(texts: Sequence[MaskedText], max_length: int | None) -> Bucket | None:
    """Return the smallest bucket that holds `texts`; None if none does.

    Args:
        texts: the texts of a batch.
        max_length: tokens a text may have, which no bucket exceeds.
    """
    rows = _at_least(len(texts), _ROWS)
    length = _at_least(max(len(text.ids) for text in texts), _LENGTHS)
    if rows is None or length is None:
        return None
    masks = sum(len(text.masks) for text in texts)
    most = _at_least(masks, [rows * each for each in _MASKS_PER_ROW])
    if most is None:
        return None
    return Bucket(rows, length if max_length is None else min(length, max_length), most)


def fill_bucket(texts: Sequence[MaskedText], bucket: Bucket, pad_id: int) -> dict[str, np.ndarray]:
    """Lay out `texts` in the shape of `bucket`.

    Texts are padded on the right. Rows that are left over repeat the first text, since rows of
    padding alone have no attention to give; masks that are left over repeat the first mask.

    Returns:
        The inputs int64 [rows, length] by name, and `mask_positions` int64 [masks].
    """
    columns = pad_columns(texts, pad_id)
    filled: dict[str, np.ndarray] = {}
    for name, column in columns.items():
        rows, length = column.shape
        wide = np.full((bucket.rows, bucket.length), pad_id if name == "input_ids" else 0, np.int64)
        wide[:rows, :length] = column
        wide[rows:] = wide[0]
        filled[name] = wide
    positions = np.concatenate([text.masks + row * bucket.length for row, text in enumerate(texts)])
    filled["mask_positions"] = np.full(bucket.masks, positions[0], np.int64)
    filled["mask_positions"][: len(positions)] = positions
    return filled


def _at_least(number: int, sizes: Sequence[int]) -> int | None:
    return next((size for size in sizes if size >= number), None)
