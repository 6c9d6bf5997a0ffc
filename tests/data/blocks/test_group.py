"""`group_blocks` against the forms of `group_texts` that people paste, and against Arrow itself."""

from __future__ import annotations

from itertools import chain, pairwise

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mlmfast
from mlmfast.errors import InputError, InputTypeError, MlmfastError

ROWS = st.lists(st.lists(st.integers(0, 60_000), max_size=9), max_size=25)
SIZES = st.integers(1, 12)


def guide_group_texts(examples, block_size):
    """What the Hugging Face guide's function computes, told in our own words."""
    joined = {name: list(chain(*rows)) for name, rows in examples.items()}
    total = len(joined[next(iter(examples))])
    if total >= block_size:
        total = total // block_size * block_size
    result = {
        name: [ids[at : at + block_size] for at in range(0, total, block_size)]
        for name, ids in joined.items()
    }
    result["labels"] = result["input_ids"].copy()
    return result


def run_mlm_group_texts(examples, block_size):
    """What run_mlm.py's function computes: always cut, no labels."""
    joined = {name: list(chain(*rows)) for name, rows in examples.items()}
    total = len(joined[next(iter(examples))]) // block_size * block_size
    return {
        name: [ids[at : at + block_size] for at in range(0, total, block_size)]
        for name, ids in joined.items()
    }


@given(ROWS, SIZES)
def test_a_mapping_gives_what_the_guide_gives(rows, size):
    batch = {"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows]}
    assert mlmfast.group_blocks(batch, size) == guide_group_texts(batch, size)


@given(ROWS, SIZES)
def test_a_mapping_can_give_what_run_mlm_gives(rows, size):
    batch = {"input_ids": rows, "special_tokens_mask": [[0] * len(row) for row in rows]}
    ours = mlmfast.group_blocks(batch, size, labels=False, keep_short=False)
    assert ours == run_mlm_group_texts(batch, size)


@given(ROWS, ROWS, SIZES)
def test_the_first_column_decides_the_cut(first, second, size):
    batch = {"input_ids": first, "other": second}
    assert mlmfast.group_blocks(batch, size) == guide_group_texts(batch, size)


@given(ROWS, SIZES, st.sampled_from(["drop", "pad", "keep"]), st.booleans())
def test_arrow_and_mapping_agree(rows, size, remainder, separate):
    separator = 65_000 if separate else None
    options = {"remainder": remainder, "separator_id": separator, "pad_id": 65_001}
    column = pa.array(rows, pa.large_list(pa.uint16()))
    ours = mlmfast.group_blocks(column, size, **options)
    plain = mlmfast.group_blocks({"input_ids": rows}, size, keep_short=False, **options)
    assert ours.to_pylist() == plain["input_ids"]


@given(ROWS, SIZES, st.lists(st.integers(0, 25), max_size=3))
def test_chunks_do_not_matter_and_no_token_is_lost(rows, size, cuts):
    kind = pa.list_(pa.int64())
    edges = sorted([0, len(rows), *(min(cut, len(rows)) for cut in cuts)])
    chunks = [pa.array(rows[a:b], kind) for a, b in pairwise(edges)]
    blocks = mlmfast.group_blocks(pa.chunked_array(chunks, kind), size, remainder="keep")
    assert isinstance(blocks, pa.ChunkedArray)
    assert list(chain(*blocks.to_pylist())) == list(chain(*rows))
    assert all(len(block) == size for block in blocks.to_pylist()[:-1])


def test_slices_do_not_bring_their_neighbours():
    column = pa.array([[1, 2], [3], [4, 5, 6], [7]])
    assert mlmfast.group_blocks(column.slice(1, 2), 2).to_pylist() == [[3, 4], [5, 6]]
    fixed = pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int32(), 2))
    assert mlmfast.group_blocks(fixed[1:], 4).to_pylist() == [[3, 4, 5, 6]]
    view = pa.array([[1, 2], [3], [4, 5]], pa.list_view(pa.int16()))
    assert mlmfast.group_blocks(view[1:], 3).to_pylist() == [[3, 4, 5]]


def test_all_list_columns_of_a_table_are_cut_alike():
    table = pa.table({"input_ids": [[5, 6, 7], [8, 9]], "attention_mask": [[1, 1, 1], [1, 1]]})
    out = mlmfast.group_blocks(table, 3, remainder="pad", pad_id=1, labels=True)
    assert isinstance(out, pa.Table)
    assert out.to_pydict() == {
        "input_ids": [[5, 6, 7], [8, 9, 1]],
        "attention_mask": [[1, 1, 1], [1, 1, 0]],
        "labels": [[5, 6, 7], [8, 9, 1]],
    }


@pytest.mark.parametrize("make", [pa.Table.from_pydict, pa.RecordBatch.from_pydict, pl.DataFrame])
def test_a_table_comes_back_as_its_own_kind(make):
    data = make({"input_ids": [[1, 2, 3], [4]]})
    out = mlmfast.group_blocks(data, 2)
    assert type(out) is type(data)
    assert pa.table(out).to_pydict() == {"input_ids": [[1, 2], [3, 4]]}


def test_polars_series_keep_name_and_type():
    series = pl.Series("ids", [[1, 2, 3], [4]], dtype=pl.List(pl.UInt16))
    out = mlmfast.group_blocks(series, 2)
    assert out.to_list() == [[1, 2], [3, 4]]
    assert (out.name, out.dtype) == ("ids", pl.Array(pl.UInt16, 2))


def test_datasets_map_takes_it_as_it_is():
    datasets = pytest.importorskip("datasets")
    rows = [[1, 2, 3], [4], [5, 6, 7, 8]]
    data = datasets.Dataset.from_dict({"input_ids": rows})
    mapped = data.map(mlmfast.group_blocks, batched=True, fn_kwargs={"block_size": 3})
    assert mapped[:] == guide_group_texts({"input_ids": rows}, 3)
    arrow = data.with_format("arrow").map(
        mlmfast.group_blocks, batched=True, fn_kwargs={"block_size": 3}
    )
    assert arrow.with_format(None)["input_ids"][:] == [[1, 2, 3], [4, 5, 6]]
    whole = mlmfast.group_blocks(data.select([0, 2]), 3)
    assert isinstance(whole, datasets.Dataset)
    assert whole[:] == {"input_ids": [[1, 2, 3], [5, 6, 7]]}


def test_numpy_rows_of_a_formatted_data_set():
    batch = {"input_ids": [np.array([1, 2, 3]), np.array([4])]}
    assert mlmfast.group_blocks(batch, 2, labels=False) == {"input_ids": [[1, 2], [3, 4]]}


@pytest.mark.parametrize("rows", [[], [[]], [[], []]])
@pytest.mark.parametrize("remainder", ["drop", "pad", "keep"])
def test_nothing_gives_nothing(rows, remainder):
    column = pa.array(rows, pa.list_(pa.uint32()))
    out = mlmfast.group_blocks(column, 4, remainder=remainder, pad_id=0)
    assert out.to_pylist() == []


@pytest.mark.parametrize("options", [{}, {"separator_id": 0}, {"packing": "best_fit", "pad_id": 0}])
@pytest.mark.parametrize(
    ("kind", "offsets", "sizes"),
    [
        (pa.list_view, [0, 5], [1, 1]),
        (pa.list_view, [0, -5], [1, 1]),
        (pa.list_view, [0, 1], [1, -1]),
        (pa.large_list_view, [0, 2**63 - 1], [1, 2**63 - 1]),
    ],
)
def test_damaged_arrow_data_is_an_error(kind, offsets, sizes, options):
    kind = kind(pa.int64())
    width = np.int32 if str(kind).startswith("list_view") else np.int64
    places = [pa.py_buffer(np.array(numbers, width)) for numbers in (offsets, sizes)]
    array = pa.Array.from_buffers(kind, 2, [None, *places], children=[pa.array([1, 2, 3])])
    with pytest.raises(InputError, match="row 1 points outside of its values"):
        mlmfast.group_blocks(array, 2, **options)


@pytest.mark.parametrize(
    ("data", "options", "error", "words"),
    [
        (pa.array([[1], None]), {}, InputError, "row 1 is null"),
        (pa.array([[1], [2, None]]), {}, InputError, "row 1 holds a null at position 1"),
        (pa.array(["text"]), {}, InputTypeError, "expected lists of integers, got Utf8"),
        (pa.table({"text": [["a"]]}), {}, InputTypeError, "column 'text'.*tokenize the text first"),
        (pa.array([[1]]), {"block_size": 0}, InputError, "block_size must be between 1 and"),
        (pa.array([[1]]), {"block_size": 2.5}, InputError, "whole number, got 2.5"),
        (pa.array([[1]]), {"remainder": "cut"}, InputError, "'drop', 'pad' or 'keep', got 'cut'"),
        (pa.array([[1]]), {"remainder": "pad"}, InputError, "needs pad_id"),
        (pa.array([[1]]), {"keep_short": True}, InputError, "use remainder='keep'"),
        (
            pa.array([[1]], pa.list_(pa.uint8())),
            {"remainder": "pad", "pad_id": 256},
            InputError,
            "pad_id 256 does not fit",
        ),
        (
            pa.table({"input_ids": [[1, 2]], "labels": [[1]]}),
            {},
            InputError,
            "different numbers of tokens: 'input_ids' 2, 'labels' 1",
        ),
        (
            pa.table({"input_ids": [[1]], "scores": [[1]]}),
            {"separator_id": 0},
            InputError,
            "column 'scores': no filling value is known",
        ),
        ({"text": ["words"]}, {}, InputTypeError, "column 'text' holds str"),
        (7, {}, InputTypeError, "got int"),
    ],
)
def test_bad_input_is_named(data, options, error, words):
    with pytest.raises(error, match=words) as caught:
        mlmfast.group_blocks(data, **options)
    assert isinstance(caught.value, MlmfastError)
