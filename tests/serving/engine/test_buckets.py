"""The shapes of captured CUDA graphs, and batches that are filled up to them."""

from __future__ import annotations

import numpy as np
import pytest

from mlmfast.serving.engine.buckets import Bucket, bucket_for, fill_bucket
from mlmfast.serving.types import MaskedText

MASK, PAD = 4, 9


def text(length, *masks):
    ids = np.arange(10, 10 + length)
    ids[[*masks]] = MASK
    return MaskedText(ids, np.ones_like(ids), np.array(masks))


@pytest.mark.parametrize(
    ("texts", "max_length", "expected"),
    [
        ([text(5, 1)], None, Bucket(1, 16, 1)),
        ([text(5, 1), text(17, 1, 2), text(3, 0)], None, Bucket(4, 32, 4)),
        ([text(5, 1, 2), text(5, 1)], None, Bucket(2, 16, 4)),
        ([text(300, 1)], 300, Bucket(1, 300, 1)),
        ([text(5, 1)] * 33, None, None),
        ([text(513, 1)], None, None),
        ([text(9, *range(5))], None, None),
    ],
)
def test_the_smallest_bucket_that_holds_a_batch(texts, max_length, expected):
    assert bucket_for(texts, max_length) == expected


def test_a_batch_is_filled_up_with_rows_and_masks_that_change_nothing():
    texts = [text(3, 1), text(5, 0, 4), text(4, 2)]
    bucket = Bucket(4, 16, 8)
    filled = fill_bucket(texts, bucket, PAD)
    ids, positions = filled["input_ids"], filled["mask_positions"]
    assert ids.shape == filled["attention_mask"].shape == filled["token_type_ids"].shape == (4, 16)
    for row, given in enumerate(texts):
        end = len(given.ids)
        assert ids[row, :end].tolist() == given.ids.tolist()
        assert set(ids[row, end:]) == {PAD}
        for name in ("attention_mask", "token_type_ids"):
            assert filled[name][row].tolist() == [1] * end + [0] * (16 - end)
    assert ids[3].tolist() == ids[0].tolist()
    assert filled["attention_mask"].any(axis=1).all()
    assert positions.tolist() == [1, 16, 20, 34, 1, 1, 1, 1]
    assert set(ids.ravel()[positions]) == {MASK}
