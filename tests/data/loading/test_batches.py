"""`BatchMaker`: equal batches as tensors and as numpy arrays, in new or given memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mlmfast.data.loading.batches import BatchMaker, NumpyAllocator
from mlmfast.data.loading.block_masker import BlockMasker
from mlmfast.data.loading.buffer_pool import BufferPool, TensorAllocator
from mlmfast.data.store.store import open_splits

IDS = np.array([4, 1, 7], np.uint64)


@pytest.fixture(scope="module")
def masker(toy_blocks):
    return BlockMasker(open_splits(toy_blocks)["train"], seed=3, options={})


def test_numpy_arrays_and_tensors_hold_the_same(masker):
    arrays = BatchMaker(masker, NumpyAllocator(), masker.columns).make(IDS, 2, 0.3)
    tensors = BatchMaker(masker, TensorAllocator(BufferPool(2)), masker.columns).make(IDS, 2, 0.3)
    assert arrays.keys() == tensors.keys() == {"input_ids", "labels"}
    for name, array in arrays.items():
        assert (array.dtype, tensors[name].dtype) == (np.int64, torch.int64)
        assert np.array_equal(array, tensors[name])


def test_labels_may_come_at_the_positions_only(masker):
    dense = BatchMaker(masker, NumpyAllocator(), masker.columns).make(IDS, 0)
    sparse = BatchMaker(masker, NumpyAllocator(), ("input_ids",), positions=True).make(IDS, 0)
    assert np.array_equal(sparse["positions"], np.flatnonzero(dense["labels"] != -100))
    assert np.array_equal(sparse["labels"], dense["labels"].ravel()[sparse["positions"]])


def test_a_batch_is_written_to_given_arrays(masker):
    maker = BatchMaker(masker, NumpyAllocator(), masker.columns)
    buffers = maker.empty(len(IDS))
    batch = maker.make(IDS, 1, out=buffers)
    assert all(batch[name] is array for name, array in buffers.items())
    assert np.array_equal(batch["labels"], maker.make(IDS, 1)["labels"])
