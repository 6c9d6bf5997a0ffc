"""`mask_tokens`: inputs and outputs of every kind, keys, errors. The distribution itself is
tested beside the core, in tests/core/mask.rs."""

from __future__ import annotations

import concurrent.futures

import datasets
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mlmfast
from mlmfast.data.arrow_interop import columns_of
from mlmfast.errors import InputError, InputTypeError

VOCABULARY = {"mask_token_id": 4, "vocab_size": 1000, "special_ids": (0, 1, 2, 3, 4)}


def ids(rows=20, length=64, dtype=np.uint16):
    return np.random.default_rng(1).integers(5, 1000, (rows, length)).astype(dtype)


def same(left, right):
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int16, np.int32, np.int64])
def test_the_integer_type_does_not_matter(dtype):
    expected = mlmfast.mask_tokens(ids(), **VOCABULARY)
    batch = mlmfast.mask_tokens(ids(dtype=dtype), **VOCABULARY)
    assert same(batch, expected)
    assert batch.input_ids.dtype == batch.labels.dtype == batch.positions.dtype == np.int64


def test_torch_in_torch_out_and_the_input_stays():
    source = torch.from_numpy(ids(dtype=np.int64))
    before = source.clone()
    batch = mlmfast.mask_tokens(source, **VOCABULARY)
    assert all(isinstance(tensor, torch.Tensor) for tensor in batch)
    assert torch.equal(source, before)
    assert same(batch, mlmfast.mask_tokens(ids(), **VOCABULARY))


def test_arrow_blocks_and_their_slices():
    blocks = pa.FixedSizeListArray.from_arrays(pa.array(ids().ravel()), 64)
    whole = mlmfast.mask_tokens(ids(), **VOCABULARY)
    assert same(mlmfast.mask_tokens(blocks, **VOCABULARY), whole)
    part = mlmfast.mask_tokens(blocks[5:9], block_ids=np.arange(5, 9), **VOCABULARY)
    assert np.array_equal(part.labels, whole.labels[5:9])


def table_of(kind):
    """The ids as a table of one kind, with a second column where the kind can have one."""
    rows = pa.FixedSizeListArray.from_arrays(pa.array(ids().ravel()), 64)
    table = pa.table({"input_ids": rows, "number": pa.array(range(20))})
    if kind == "RecordBatch":
        return table.to_batches()[0]
    if kind == "sliced Table":
        more = pa.concat_tables([table[:3], table, table[7:]])
        return more[3:23]
    if kind == "Table of lists":
        return table.set_column(0, "input_ids", rows.cast(pa.list_(pa.uint16())))
    if kind == "polars DataFrame":
        return pl.from_arrow(table)
    if kind == "Dataset":
        return datasets.Dataset(table)
    return table


@pytest.mark.parametrize(
    ("kind", "back"),
    [
        ("Table", pa.Table),
        ("sliced Table", pa.Table),
        ("Table of lists", pa.Table),
        ("RecordBatch", pa.RecordBatch),
        ("polars DataFrame", pl.DataFrame),
        ("Dataset", datasets.Dataset),
    ],
)
@pytest.mark.parametrize("dtype", [np.int64, np.int32])
def test_a_table_comes_back_as_a_table_of_its_kind(kind, back, dtype):
    expected = mlmfast.mask_tokens(ids(), dtype=dtype, **VOCABULARY)
    table = table_of(kind)
    masked = mlmfast.mask_tokens(table, dtype=dtype, **VOCABULARY)
    assert isinstance(masked, back)
    arrow = columns_of(masked)
    assert arrow["input_ids"].to_pylist() == expected.input_ids.tolist()
    assert arrow["labels"].to_pylist() == expected.labels.tolist()
    assert arrow["labels"].type.value_type == pa.from_numpy_dtype(dtype)
    assert list(masked["number"]) == list(table["number"])


def test_a_block_store_comes_back_as_a_table_with_the_loaders_masks(toy_blocks):
    store = mlmfast.BlockStore.open(toy_blocks / "train")
    vocabulary = {
        "mask_token_id": store.manifest.mask_token_id,
        "vocab_size": store.manifest.vocab_size,
        "special_ids": store.manifest.special_ids,
    }
    masked = mlmfast.mask_tokens(store, seed=3, **vocabulary)
    assert isinstance(masked, pa.Table)
    expected = mlmfast.mask_tokens(store[:], seed=3, **vocabulary)
    assert masked["labels"].to_pylist() == expected.labels.tolist()


def test_columns_of_polars_and_lists_of_one_length():
    expected = mlmfast.mask_tokens(ids(), **VOCABULARY)
    for column in (
        pl.Series(ids().tolist(), dtype=pl.Array(pl.UInt16, 64)),
        pl.Series(ids().tolist(), dtype=pl.List(pl.UInt16)),
        pa.array(ids().tolist(), pa.large_list(pa.uint16())),
    ):
        assert same(mlmfast.mask_tokens(column, **VOCABULARY), expected)


def test_a_tables_special_tokens_mask_is_used_and_left_out():
    flags = np.arange(20 * 64).reshape(20, 64) % 3 == 0
    table = pa.table({"special_tokens_mask": list(flags), "input_ids": list(ids())})
    masked = mlmfast.mask_tokens(table, mlm_probability=1.0, **VOCABULARY)
    assert masked.column_names == ["input_ids", "labels"]
    assert np.array_equal(np.stack(masked["labels"].to_numpy()) == -100, flags)


@pytest.mark.parametrize(
    ("table", "options", "words"),
    [
        (pa.table({"ids": [[5, 6]]}), {}, "no column 'input_ids'; its columns are 'ids'"),
        (pa.table({"input_ids": [[5, 6], [7]]}), {}, "differ in length .1 to 2 tokens."),
        (pa.table({"input_ids": [[5, None]]}), {}, "input_ids has null values"),
        (pa.table({"input_ids": [[5], None]}), {}, "input_ids has null rows"),
        (pa.table({"input_ids": [5, 6]}), {}, "must be an Arrow FixedSizeList"),
        (pa.table({"input_ids": [[5, 6]]}), {"labels_at_positions": True}, "comes back as a table"),
    ],
)
def test_tables_that_cannot_be_masked(table, options, words):
    with pytest.raises((InputError, InputTypeError), match=words):
        mlmfast.mask_tokens(table, **options, **VOCABULARY)


def test_positions_are_where_labels_are():
    batch = mlmfast.mask_tokens(ids(), **VOCABULARY)
    assert np.array_equal(batch.positions, np.flatnonzero(batch.labels != -100))


@settings(max_examples=30)
@given(st.permutations(range(20)), st.integers(1, 20), st.integers(0, 2**64 - 1))
def test_order_and_batch_size_do_not_matter(order, batch_size, seed):
    source, order = ids(), np.array(order)
    whole = mlmfast.mask_tokens(source, seed=seed, epoch=3, **VOCABULARY)
    for at in range(0, 20, batch_size):
        rows = order[at : at + batch_size]
        part = mlmfast.mask_tokens(source[rows], seed=seed, epoch=3, block_ids=rows, **VOCABULARY)
        assert np.array_equal(part.input_ids, whole.input_ids[rows])
        assert np.array_equal(part.labels, whole.labels[rows])


def test_python_threads_do_not_matter():
    source = ids(2000, 256)
    expected = mlmfast.mask_tokens(source, threads=1, **VOCABULARY)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(mlmfast.mask_tokens, source, **VOCABULARY) for _ in range(8)]
    assert all(same(job.result(), expected) for job in jobs)


def test_seed_zero_is_a_seed_and_epochs_differ():
    first = mlmfast.mask_tokens(ids(), seed=0, **VOCABULARY)
    assert same(first, mlmfast.mask_tokens(ids(), seed=0, **VOCABULARY))
    assert not same(first, mlmfast.mask_tokens(ids(), seed=1, **VOCABULARY))
    assert not same(first, mlmfast.mask_tokens(ids(), epoch=1, **VOCABULARY))


def test_buffers_of_the_caller_are_written_whole():
    out = (np.full((20, 64), -7), np.full((20, 64), -7))
    batch = mlmfast.mask_tokens(ids(), out=out, **VOCABULARY)
    assert batch.input_ids is out[0]
    assert batch.labels is out[1]
    assert not (out[0] == -7).any()
    assert not (out[1] == -7).any()
    tensors = (torch.empty(20, 64, dtype=torch.int64), torch.empty(20, 64, dtype=torch.int64))
    mlmfast.mask_tokens(ids(), out=tensors, **VOCABULARY)
    assert np.array_equal(tensors[1].numpy(), out[1])


def test_flagged_tokens_are_left_alone():
    flags = np.zeros((20, 64), bool)
    flags[:, ::2] = True
    batch = mlmfast.mask_tokens(ids(), special_tokens_mask=flags, mlm_probability=1, **VOCABULARY)
    assert np.array_equal(batch.labels == -100, flags)


def test_no_probability_no_masks():
    batch = mlmfast.mask_tokens(ids(), mlm_probability=0, **VOCABULARY)
    assert np.array_equal(batch.input_ids, ids())
    assert len(batch.positions) == 0


@pytest.mark.parametrize("dtype", [np.int32, "int32", torch.int32])
def test_thirty_two_bits_on_request(dtype):
    wide = mlmfast.mask_tokens(ids(), **VOCABULARY)
    batch = mlmfast.mask_tokens(ids(), dtype=dtype, **VOCABULARY)
    assert batch.input_ids.dtype == batch.labels.dtype == np.int32
    assert batch.positions.dtype == np.int64
    assert same(batch, wide)
    out = (np.full((20, 64), -7, np.int32), np.full((20, 64), -7, np.int32))
    assert same(mlmfast.mask_tokens(ids(), out=out, **VOCABULARY), wide)


def test_labels_at_positions_alone():
    dense = mlmfast.mask_tokens(ids(), **VOCABULARY)
    out = np.full((20, 64), -7)
    batch = mlmfast.mask_tokens(ids(), labels_at_positions=True, out=(out, None), **VOCABULARY)
    assert batch.input_ids is out
    assert np.array_equal(out, dense.input_ids)
    assert np.array_equal(batch.positions, dense.positions)
    assert np.array_equal(batch.labels, dense.labels.ravel()[dense.positions])
    source = torch.from_numpy(ids(dtype=np.int64))
    tensors = mlmfast.mask_tokens(source, labels_at_positions=True, **VOCABULARY)
    assert all(isinstance(tensor, torch.Tensor) for tensor in tensors)


def test_every_row_has_so_many_masks():
    source = ids()
    source[3] = 2  # no ordinary token at all
    for mode in ("token", "span"):
        batch = mlmfast.mask_tokens(source, masks_per_row=7, mode=mode, **VOCABULARY)
        counts = (batch.labels != -100).sum(1)
        assert counts.tolist() == [0 if row == 3 else 7 for row in range(20)]


def test_at_least_one_mask():
    batch = mlmfast.mask_tokens(ids(), mlm_probability=1e-9, at_least_one=True, **VOCABULARY)
    assert ((batch.labels != -100).sum(1) == 1).all()


def test_a_vanishing_rate_ends_soon():
    assert len(mlmfast.mask_tokens(ids(), mlm_probability=1e-15, **VOCABULARY).positions) == 0


def test_whole_words_by_the_vocabularys_marker():
    starts = np.arange(1000) < 500
    batch = mlmfast.mask_tokens(
        ids(200), mode="whole_word", word_starts=starts, mlm_probability=0.3, **VOCABULARY
    )
    chosen, goes_on = batch.labels != -100, ids(200) >= 500
    assert np.array_equal(chosen[:, 1:][goes_on[:, 1:]], chosen[:, :-1][goes_on[:, 1:]])
    assert 0.25 < chosen.mean() < 0.35


@pytest.mark.parametrize(
    ("source", "options", "error", "words"),
    [
        (ids(), {"mlm_probability": 1.5}, InputError, "mlm_probability must be .* got 1.5"),
        (ids(), {"random_replace_prob": 0.3}, InputError, "must not exceed 1"),
        (ids(), {"seed": -1}, InputError, "seed -1"),
        (
            ids(),
            {"vocab_size": 500},
            InputError,
            "row 0, position 1: token id 514",
        ),
        (-ids(dtype=np.int64), {}, InputError, "token id -"),
        (ids()[0], {}, InputError, r"shape \[B, L\], got \[64\]"),
        (ids().astype(float), {}, InputTypeError, "got float64"),
        (ids(), {"block_ids": [1]}, InputError, "block_ids has 1 elements, expected 20"),
        (ids(), {"block_ids": np.arange(20) - 1}, InputError, "whole numbers from 0 on"),
        (ids(), {"special_tokens_mask": np.zeros((1, 64))}, InputError, "special_tokens_mask has"),
        (
            ids(),
            {"out": (np.empty(3), np.empty(3))},
            InputError,
            r"int64 \(or int32\) arrays of shape",
        ),
        (ids(), {"mode": "words"}, InputError, "mode must be 'token', 'whole_word'"),
        (ids(), {"mode": "whole_word"}, InputError, "needs word_starts"),
        (ids(), {"word_starts": np.ones(1000, bool)}, InputError, "word_starts goes with"),
        (
            ids(),
            {"mode": "span", "word_starts": np.ones(3, bool)},
            InputError,
            "word_starts has 3 elements, expected 1000",
        ),
        (ids(), {"mode": "span", "word_starts": [1, 2]}, InputError, "must be booleans"),
        (ids(), {"random_ids": "some"}, InputError, "'all' or 'ordinary', got 'some'"),
        (ids(), {"masks_per_row": 0}, InputError, "masks_per_row must be at least 1"),
        (ids(), {"masks_per_row": -1}, InputError, "got .*-1"),
        (
            ids(),
            {"masks_per_row": 3, "mode": "whole_word", "word_starts": np.ones(1000, bool)},
            InputError,
            "whole words do not come apart",
        ),
        (ids(), {"mode": "span", "span_probability": 0}, InputError, "span_probability must"),
        (ids(), {"mode": "span", "max_span_length": 0}, InputError, "max_span_length must"),
        (ids(), {"dtype": np.int16}, InputError, "dtype must be int64 or int32"),
        (ids(), {"labels_at_positions": True, "out": (ids(), ids())}, InputError, "None"),
        (
            ids(),
            {"out": (np.zeros((20, 64), np.int32), np.zeros((20, 64), np.int64))},
            InputError,
            "arrays of one type",
        ),
        (pa.array([[1, 2], [3]]), {}, InputError, "cut them into blocks"),
        (pa.array([1, 2]), {}, InputTypeError, "cut the lists into blocks"),
    ],
)
def test_bad_input_is_named(source, options, error, words):
    with pytest.raises(error, match=words):
        mlmfast.mask_tokens(source, **{**VOCABULARY, **options})
