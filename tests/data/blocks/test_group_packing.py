"""`packing`, `cls_id`/`sep_id`, `boundaries` and `dtype` of `group_blocks` against plain Python."""

from __future__ import annotations

from itertools import chain, pairwise

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mlmfast
from mlmfast.errors import InputError

ROWS = st.lists(st.lists(st.integers(10, 60_000), max_size=12), max_size=25)
PAD, CLS, SEP, BETWEEN = 1, 2, 3, 4
MAYBE = st.booleans()


def plain_blocks(rows, room, *, cls, sep, between, pad):
    """Concatenate, cut into rooms, frame and fill up, one list at a time."""
    stream = []
    for row in filter(None, rows):
        stream += [BETWEEN] * (between and bool(stream)) + row
    blocks = []
    for at in range(0, len(stream), room):
        content = stream[at : at + room]
        if pad or len(content) == room:
            block = [CLS] * cls + content + [SEP] * sep
            blocks.append(block + [PAD] * (room + cls + sep - len(block)))
    return blocks


def chunked(rows, kind, cuts):
    edges = sorted([0, len(rows), *(min(cut, len(rows)) for cut in cuts)])
    return pa.chunked_array([pa.array(rows[a:b], kind) for a, b in pairwise(edges)], kind)


@given(ROWS, st.integers(1, 9), st.tuples(MAYBE, MAYBE, MAYBE, MAYBE), st.lists(st.integers(0, 25)))
def test_frames_and_padding_in_every_column(rows, room, switches, cuts):
    cls, sep, between, pad = switches
    options = {
        "block_size": room + cls + sep,
        "cls_id": CLS if cls else None,
        "sep_id": SEP if sep else None,
        "separator_id": BETWEEN if between else None,
        "remainder": "pad" if pad else "drop",
        "pad_id": PAD,
        "return_stats": True,
    }
    columns = {
        "input_ids": chunked(rows, pa.large_list(pa.uint16()), cuts),
        "attention_mask": [[1] * len(row) for row in rows],
        "special_tokens_mask": [[0] * len(row) for row in rows],
        "token_type_ids": [[0] * len(row) for row in rows],
    }
    columns = {
        name: column if name == "input_ids" else pa.array(column, pa.list_(pa.int8()))
        for name, column in columns.items()
    }
    out, stats = mlmfast.group_blocks(pa.table(columns), **options)
    expected = plain_blocks(rows, room, cls=cls, sep=sep, between=between, pad=pad)
    assert out["input_ids"].to_pylist() == expected
    assert out["attention_mask"].to_pylist() == [[int(i != PAD) for i in b] for b in expected]
    assert out["special_tokens_mask"].to_pylist() == [[int(i < 10) for i in b] for b in expected]
    assert not any(map(any, out["token_type_ids"].to_pylist()))

    flat = list(chain(*expected))
    assert stats.tokens == sum(map(len, rows))
    assert stats.blocks == len(expected)
    assert stats.padding_tokens == flat.count(PAD)
    assert stats.dropped_tokens == stats.tokens - sum(i >= 10 for i in flat)
    assert stats.fill_rate == pytest.approx(1 - flat.count(PAD) / max(1, len(flat)))

    # The mapping form gives the same blocks and tells the same of them.
    mapping = {"input_ids": rows}
    blocks, told = mlmfast.group_blocks(mapping, keep_short=False if stats else None, **options)
    assert blocks["input_ids"] == blocks["labels"] == expected
    assert told == stats


@given(ROWS, st.integers(1, 15), MAYBE, st.lists(st.integers(0, 25)), st.integers(1, 3))
def test_best_fit_keeps_documents_whole(rows, size, framed, cuts, threads):
    frame = {"cls_id": CLS, "sep_id": SEP} if framed else {}
    room, size = size, size + len(frame)
    table = pa.table({"input_ids": chunked(rows, pa.list_(pa.int64()), cuts)})
    options = {"packing": "best_fit", "pad_id": PAD, "boundaries": "document_ids", **frame}
    out, stats = mlmfast.group_blocks(
        table, size, threads=threads, return_stats=True, dtype="uint16", **options
    )
    assert out["input_ids"].type == pa.list_(pa.uint16(), size)
    found = []
    for block, ids in zip(
        out["input_ids"].to_pylist(), out["document_ids"].to_pylist(), strict=True
    ):
        assert len(block) == size
        for number in range(max(ids) + 1):
            own = [i for i, id_ in zip(block, ids, strict=True) if id_ == number]
            found.append([i for i in own if i >= 10])
        assert {i for i, id_ in zip(block, ids, strict=True) if id_ < 0} <= {PAD}
    pieces = [row[at : at + room] for row in rows for at in range(0, len(row), room)]
    assert sorted(found) == sorted(pieces)
    assert (stats.tokens, stats.dropped_tokens) == (sum(map(len, rows)), 0)
    # No block is begun while another has the space.
    own = sorted(sum(i >= 10 for i in block) for block in out["input_ids"].to_pylist())
    assert len(own) < 2 or own[0] + own[1] > room

    mapping, _ = mlmfast.group_blocks(
        {"input_ids": rows}, size, return_stats=True, labels=False, **options
    )
    assert mapping == out.to_pydict()


@given(ROWS, st.integers(1, 9), MAYBE, st.sampled_from([0, 1, 2]))
def test_positions_start_anew_in_each_document(rows, size, pack, offset):
    options = {"packing": "best_fit"} if pack else {"remainder": "pad"}
    out = mlmfast.group_blocks(
        pa.table({"input_ids": pa.array(rows, pa.large_list(pa.int32()))}),
        size,
        pad_id=PAD,
        boundaries="sequence_lengths",
        position_offset=offset,
        **options,
    )
    ids = mlmfast.group_blocks(
        {"input_ids": rows}, size, pad_id=PAD, boundaries="document_ids", labels=False, **options
    )["document_ids"]
    for lengths, positions, numbers in zip(
        out["sequence_lengths"].to_pylist(), out["position_ids"].to_pylist(), ids, strict=True
    ):
        assert lengths == [numbers.count(number) for number in range(len(lengths))]
        expected = [at + offset for length in lengths for at in range(length)]
        assert positions == expected + [max(0, offset - 1)] * (size - len(expected))


def test_document_starts_are_where_document_ids_change():
    table = pa.table({"input_ids": [[11, 12, 13], [], [14], [15, 16, 17, 18]]})
    expected = [[0, 3], [0]]
    starts = mlmfast.group_blocks(table, 4, boundaries="document_starts")["document_starts"]
    assert starts.to_pylist() == expected
    assert starts.type == pa.large_list(pa.int32())
    rows = {"input_ids": table["input_ids"].to_pylist()}
    grouped = mlmfast.group_blocks(rows, 4, boundaries="document_starts", labels=False)
    assert grouped == {
        "input_ids": [[11, 12, 13, 14], [15, 16, 17, 18]],
        "document_starts": expected,
    }
    assert "document_starts" not in mlmfast.group_blocks(rows, 4)


def test_keep_is_shorter_only_at_the_end():
    table = pa.table({"input_ids": [[11, 12, 13], [14]]})
    out = mlmfast.group_blocks(
        table, 4, remainder="keep", cls_id=CLS, sep_id=SEP, boundaries="document_ids"
    )
    assert out.to_pydict() == {
        "input_ids": [[2, 11, 12, 3], [2, 13, 14, 3]],
        "document_ids": [[0, 0, 0, 0], [0, 0, 1, 1]],
    }
    short = mlmfast.group_blocks(table, 5, remainder="keep", cls_id=CLS)
    assert short["input_ids"].to_pylist() == [[2, 11, 12, 13, 14]]
    short = mlmfast.group_blocks(table, 4, remainder="keep", cls_id=CLS)
    assert short["input_ids"].to_pylist() == [[2, 11, 12, 13], [2, 14]]


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "int32", "int64"])
@pytest.mark.parametrize("child", [pa.int8(), pa.uint16(), pa.int32(), pa.uint32(), pa.int64()])
def test_dtype_converts_the_ids_alone(dtype, child):
    table = pa.table(
        {
            "input_ids": pa.array([[1, 2, 3], [100]], pa.list_(child)),
            "labels": pa.array([[-100, 2, 3], [4]], pa.list_(pa.int64())),
        }
    )
    out = mlmfast.group_blocks(table, 2, dtype=dtype)
    assert out["input_ids"].type == pa.list_(pa.type_for_alias(dtype), 2)
    assert out["input_ids"].to_pylist() == [[1, 2], [3, 100]]
    assert out["labels"].type.value_type == pa.int64()
    assert out["labels"].to_pylist() == [[-100, 2], [3, 4]]


@pytest.mark.parametrize("value", [-1, 65_536, 2**40, -(2**63), 2**63 - 1])
def test_an_id_that_does_not_fit_is_named(value):
    column = pa.chunked_array([[[1], [2, 3]], [[4, value, -5]]], pa.list_(pa.int64()))
    said = f"row 2, position 1: id {value} does not fit"
    for options in ({}, {"packing": "best_fit", "pad_id": 0}, {"cls_id": 7}):
        with pytest.raises(InputError, match=said):
            mlmfast.group_blocks(column, 3, dtype="uint16", **options)
    with pytest.raises(InputError, match=f"column 'input_ids': {said}"):
        mlmfast.group_blocks(pa.table({"input_ids": column}), 3, dtype="uint16")


def test_polars_and_datasets_get_the_new_columns():
    rows = [[11, 12, 13], [14], [15, 16]]
    options = {"packing": "best_fit", "pad_id": PAD, "boundaries": "document_ids"}
    frame = mlmfast.group_blocks(pl.DataFrame({"input_ids": rows}), 3, **options)
    assert frame["document_ids"].to_list() == [[0, 0, 0], [0, 1, 1]]
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"input_ids": rows})
    for form in (None, "arrow"):
        mapped = data.with_format(form).map(
            mlmfast.group_blocks, batched=True, fn_kwargs={"block_size": 3, **options}
        )
        mapped = mapped.with_format(None)
        assert mapped["input_ids"][:] == [[11, 12, 13], [14, 15, 16]]
        assert mapped["document_ids"][:] == [[0, 0, 0], [0, 1, 1]]


TABLE = pa.table({"input_ids": [[11, 12], [13]], "attention_mask": [[1], [1, 1]]})


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (TABLE, {"packing": "first_fit"}, "'concat' or 'best_fit', got 'first_fit'"),
        (TABLE, {"packing": "best_fit"}, "packing='best_fit' needs pad_id"),
        (TABLE, {"packing": "best_fit", "pad_id": 0, "remainder": "keep"}, "fills every block up"),
        (TABLE, {"boundaries": "ids"}, "'document_starts' or 'sequence_lengths', got 'ids'"),
        (TABLE, {"boundaries": "document_ids"}, "'attention_mask': row 0 has 1 tokens, but 2 in"),
        (TABLE, {"packing": "best_fit", "pad_id": 0}, "'attention_mask': row 0 has 1 tokens"),
        (TABLE, {"position_offset": 2}, "is for boundaries='sequence_lengths'"),
        (TABLE, {"position_offset": -1, "boundaries": "sequence_lengths"}, "position_offset must"),
        (TABLE, {"dtype": "float32"}, "None, 'uint16'.*got 'float32'"),
        (TABLE, {"cls_id": -1}, "cls_id must be between 0"),
        (TABLE, {"cls_id": 1.5}, "cls_id must be a whole number"),
        (TABLE, {"cls_id": 1, "sep_id": 2, "block_size": 2}, "block_size 2 leaves no room"),
        (pa.array([[11]]), {"boundaries": "document_ids"}, "bare lists have no columns"),
        (pa.array([[11]], pa.list_(pa.uint8())), {"cls_id": 256}, "cls_id 256 does not fit"),
        (pa.array([[11]]), {"dtype": "uint16", "sep_id": 65_536, "remainder": "keep"}, "sep_id 65"),
        (
            pa.table({"input_ids": [[1]], "document_ids": [[1]]}),
            {"boundaries": "document_ids"},
            "'document_ids' already",
        ),
        (pa.table({"input_ids": [[1]], "x": [[1]]}), {"cls_id": 1}, "'x': no filling value"),
        ({"input_ids": [[11]]}, {"dtype": "uint16"}, "dtype is for Arrow data"),
        ({"input_ids": [[11]]}, {"cls_id": 1, "keep_short": True}, "keep_short=True is not for"),
        ({"input_ids": [[11], ["a"]]}, {"cls_id": 1}, "'input_ids' holds no lists of integers"),
    ],
)  # fmt: skip
def test_bad_options_are_named(data, options, words):
    with pytest.raises((InputError, mlmfast.MlmfastError), match=words):
        mlmfast.group_blocks(data, **{"block_size": 4, **options})
