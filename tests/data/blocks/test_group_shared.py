"""Blocks over the column's own memory, without the core."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import mlmfast
from mlmfast.data.blocks.arrow import share_columns
from mlmfast.data.blocks.options import checked_options
from mlmfast.errors import InputError

IDS = pa.array(np.arange(100, 120, dtype=np.uint16))
LISTS = pa.LargeListArray.from_arrays(pa.array([0, 3, 3, 8, 15, 20]), IDS)


def shared(column, size=4, **options):
    options = checked_options(size, "drop", *[None] * 4, "concat", None, 0, options.get("dtype"))
    return share_columns({"input_ids": column}, options)


@pytest.mark.parametrize(
    ("column", "first"),
    [
        (LISTS, 100),
        (LISTS[2:], 103),
        (LISTS[2:4], 103),
        (LISTS.cast(pa.list_(pa.int64())), 100),
        (pa.chunked_array([LISTS])[1:], 103),
        (pa.LargeListArray.from_arrays(pa.array([1, 4, 9]), IDS[5:]), 106),
    ],
)
def test_one_chunk_is_cut_where_it_lies(column, first):
    array = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    tokens = array.flatten().to_pylist()
    blocks, total = shared(column)
    assert total == len(tokens)
    assert blocks["input_ids"].to_pylist() == [
        tokens[at : at + 4] for at in range(0, total // 4 * 4, 4)
    ]
    values = blocks["input_ids"].values
    assert values[0].as_py() == first
    assert len(values) == total // 4 * 4
    assert values.buffers()[1].address == array.values.buffers()[1].address
    assert mlmfast.group_blocks(column, 4).to_pylist() == blocks["input_ids"].to_pylist()


@pytest.mark.parametrize(
    "column",
    [
        pa.chunked_array([LISTS, LISTS]),
        pa.chunked_array([], LISTS.type),
        pa.array([[1, 2, 3]], pa.list_(pa.uint16())),  # less than a block
        pa.array([], pa.list_(pa.uint16())),
        pa.array([[1, 2], None, [3, 4]], pa.list_(pa.uint16())),
        pa.array([[1, 2], [None, 4]], pa.list_(pa.uint16())),
        pa.array([[0.5] * 4]),
        pa.array([[1, 2], [3, 4]], pa.list_(pa.uint16(), 2)),
    ],
)
def test_all_else_is_left_to_the_core(column):
    assert shared(column) == ({}, 0)


def test_the_report_is_the_cores():
    moved = mlmfast.group_blocks(pa.chunked_array([LISTS[:2], LISTS[2:]]), 8, return_stats=True)
    stayed = mlmfast.group_blocks(pa.chunked_array([LISTS]), 8, return_stats=True)
    assert moved == stayed
    assert stayed[1].dropped_tokens == 4


def test_columns_of_other_lengths_are_still_an_error():
    with pytest.raises(InputError, match="different numbers of tokens"):
        mlmfast.group_blocks(pa.table({"input_ids": LISTS[:4], "labels": LISTS[1:]}), 4)


@pytest.mark.parametrize("size", [True, 1.0, [1], None, "1"])
def test_options_that_equal_good_ones_are_looked_at(size):
    mlmfast.group_blocks(LISTS, 1)
    with pytest.raises(InputError, match="block_size must be a whole number"):
        mlmfast.group_blocks(LISTS, size)
