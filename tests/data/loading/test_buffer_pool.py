"""Memory of tensors, used again when nobody has it any more."""

from __future__ import annotations

import pickle

import pytest

torch = pytest.importorskip("torch")

from mlmfast.data.loading.buffer_pool import BufferPool  # noqa: E402 (after the skip)

ROWS, LENGTH = 64, 512  # 256 KiB as int64


def test_memory_comes_back_when_the_last_reference_goes():
    pool = BufferPool(keep=2)
    tensor = pool.take(ROWS, LENGTH, torch.int64)
    assert (tensor.shape, tensor.dtype) == ((ROWS, LENGTH), torch.int64)
    place, view = tensor.data_ptr(), tensor[3:5, 1:]
    array = view.numpy()[0]
    array[:] = 7
    del tensor
    assert pool.take(ROWS, LENGTH, torch.int64).data_ptr() != place
    del view
    other = pool.take(ROWS, LENGTH, torch.int64)
    other.zero_()
    assert other.data_ptr() != place
    assert (array == 7).all(), "a view by numpy holds the memory, too"
    del array
    held = [pool.take(ROWS, LENGTH, torch.int64) for _ in range(2)]
    assert place in [tensor.data_ptr() for tensor in held]


def test_no_two_tensors_share_memory():
    pool = BufferPool(keep=3)
    for _ in range(3):
        tensors = [pool.take(ROWS, LENGTH, torch.int64) for _ in range(5)]
        for number, tensor in enumerate(tensors):
            tensor.fill_(number)
        assert [int(tensor.sum()) for tensor in tensors] == [n * ROWS * LENGTH for n in range(5)]


def test_a_shorter_batch_leaves_no_memory_idle():
    pool = BufferPool(keep=2)
    place = pool.take(ROWS, LENGTH, torch.int64).data_ptr()
    some = pool.take(ROWS // 2, LENGTH, torch.int64)
    assert (some.data_ptr(), len(some)) == (place, ROWS // 2)
    del some
    few, one = pool.take(ROWS // 2 - 1, LENGTH, torch.int64), pool.take(1, LENGTH, torch.int64)
    assert place not in (few.data_ptr(), one.data_ptr())
    assert pool.take(ROWS, LENGTH, torch.int64).data_ptr() == place


def test_other_shapes_and_types_are_good():
    pool = BufferPool(keep=2)
    for rows, length, dtype in (
        (ROWS, LENGTH, torch.int64),
        (ROWS, LENGTH, torch.int32),
        (2 * ROWS, LENGTH, torch.int64),
        (ROWS, 2 * LENGTH, torch.int64),
        (0, LENGTH, torch.int64),
    ):
        tensor = pool.take(rows, length, dtype)
        assert (tuple(tensor.shape), tensor.dtype) == ((rows, length), dtype)


def test_a_pickled_pool_is_empty_and_good():
    pool = BufferPool(keep=2)
    pool.take(ROWS, LENGTH, torch.int64)
    assert pickle.loads(pickle.dumps(pool)).take(ROWS, LENGTH, torch.int64).shape == (ROWS, LENGTH)
    assert len(pickle.dumps(pool)) < 1000
