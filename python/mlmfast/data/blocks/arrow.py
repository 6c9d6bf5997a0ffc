"""Grouping Arrow columns: the core lays out and writes, into memory of pyarrow's pool.

The pool keeps the pages of results that are gone, so that a call does not wait for the system to
hand out and clear new ones; that costs more than copying the tokens does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from mlmfast import _core
from mlmfast.data.arrow_interop import BARE
from mlmfast.data.blocks.options import GroupOptions, GroupStats, fill_rate
from mlmfast.errors import InputError, InputTypeError

# The rows of these lie side by side by their very layout.
_SIDE_BY_SIDE = (pa.LargeListArray, pa.ListArray)
# By their numbers: to hash a type takes longer than to cut a column.
_INTEGERS = frozenset(
    kind.id
    for sign in ("int", "uint")
    for kind in (getattr(pa, f"{sign}{bits}")() for bits in (8, 16, 32, 64))
)


def share_columns(columns: dict[str, Any], options: GroupOptions) -> tuple[dict[str, Any], int]:
    """Cut columns into blocks without copying.

    Args:
        columns: Name -> pyarrow Array or ChunkedArray of lists.
        options: How to group.

    Returns:
        Name -> `FixedSizeList[block_size]`, and the tokens of all rows. There are no columns where
        something has to be moved, converted or looked into (and where the data is at fault): the
        core does that then, and names faults.
    """
    nothing: tuple[dict[str, Any], int] = {}, 0
    if not options.cuts_alone:
        return nothing
    size, total = int(options.block_size), -1
    blocks: dict[str, Any] = {}
    for name, column in columns.items():
        found = _stretch(column)
        if found is None:
            return nothing
        values, start, tokens = found
        length = tokens // size * size
        if total not in (-1, tokens) or not length:
            return nothing
        total = tokens
        blocks[name] = pa.FixedSizeListArray.from_arrays(values.slice(start, length), size)
    return blocks, total


def _stretch(column: Any) -> tuple[pa.Array, int, int] | None:
    """The tokens of a column as one stretch: (values, start, length); None where they are none."""
    if isinstance(column, pa.ChunkedArray):
        if column.num_chunks != 1:
            return None
        column = column.chunk(0)
    if type(column) not in _SIDE_BY_SIDE or column.null_count or not len(column):
        return None
    values = column.values
    if values.type.id not in _INTEGERS or values.null_count:
        return None
    offsets = column.offsets
    start, stop = offsets[0].as_py(), offsets[-1].as_py()
    # Offsets that are damaged are the core's to complain of.
    return (values, start, stop - start) if 0 <= start <= stop <= len(values) else None


# Columns that hold token ids, to which `dtype` applies.
_IDS = (BARE, "input_ids")


def group_columns(
    columns: dict[str, Any],
    options: GroupOptions,
    *,
    labels: bool = False,
    threads: int | None = None,
) -> tuple[dict[str, Any], GroupStats]:
    """Group all columns by one plan, made of the first.

    Args:
        columns: Name -> pyarrow Array or ChunkedArray of lists.
        options: How to group.
        labels: Add `labels`, equal to `input_ids`.
        threads: Threads at most; None for as many as the machine has.

    Returns:
        Name -> pyarrow array with one row a block, and what was made.

    Raises:
        InputError: Nulls, columns of different lengths, values that do not fit.
        InputTypeError: A column that holds no lists of integers.
    """
    blocks, tokens = share_columns(columns, options)
    if blocks:
        count, dropped = divmod(tokens, int(options.block_size))
        _label(blocks, labels)
        return blocks, GroupStats(tokens, count, 1.0, dropped, 0)
    added = _added(columns, options)
    lists = {name: _call(name, _core.ListColumn, column) for name, column in columns.items()}
    totals = {name: _call(name, getattr, column, "tokens") for name, column in lists.items()}
    if len(set(totals.values())) > 1:
        counts = ", ".join(f"{name!r} {total:,}" for name, total in totals.items())
        raise InputError(f"the columns hold different numbers of tokens: {counts}")
    if not lists:
        return {}, GroupStats(0, 0, 1.0, 0, 0)
    first = next(iter(lists))
    plan = _call(
        first,
        _core.BlockPlan,
        lists[first],
        int(options.block_size),
        remainder=options.remainder,
        packing=options.packing,
        separator_id=options.separator_id is not None,
        cls_id=options.cls_id is not None,
        sep_id=options.sep_id is not None,
        boundaries=options.boundaries is not None,
    )
    for name, column in lists.items():
        dtype = options.dtype if options.dtype and name in _IDS else column.dtype
        fills = options.fills_for(name)
        values = _call(name, plan.share, column) if dtype == column.dtype else None
        if values is None:
            values, out = _values(dtype, plan.length)
            _call(name, plan.write, column, out, **fills, threads=threads)
        blocks[name] = _cut(values, plan, options)
    _label(blocks, labels)
    for name in added:
        blocks[name] = _boundary(name, plan, options, threads)
    positions, padding = plan.length, plan.padding_tokens
    stats = GroupStats(
        plan.tokens, plan.blocks, fill_rate(positions, padding), plan.dropped_tokens, padding
    )
    return blocks, stats


def _label(blocks: dict[str, Any], labels: bool) -> None:
    if labels and "input_ids" in blocks:
        blocks["labels"] = blocks["input_ids"]


def _added(columns: dict[str, Any], options: GroupOptions) -> list[str]:
    """Names of the columns that tell the boundaries."""
    if options.boundaries is None:
        return []
    if BARE in columns:
        raise InputError(
            "boundaries are columns beside the tokens, and bare lists have no columns: give a "
            "table, such as pa.table({'input_ids': lists})"
        )
    names = ["document_ids"]
    if options.boundaries == "sequence_lengths":
        names = ["position_ids", "sequence_lengths"]
    for name in names:
        if name in columns:
            raise InputError(f"the data has a column {name!r} already, which boundaries would add")
    return names


def _boundary(name: str, plan: Any, options: GroupOptions, threads: int | None) -> Any:
    if name == "sequence_lengths":
        # LargeList: there can be more than 2^31 documents.
        offsets, lengths = plan.segments(threads=threads)
        return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(lengths))
    values, out = _values("int32", plan.length)
    if name == "document_ids":
        plan.document_ids(out, threads=threads)
    else:
        plan.position_ids(out, offset=int(options.position_offset), threads=threads)
    return _cut(values, plan, options)


def _values(dtype: str, length: int) -> tuple[pa.Array, np.ndarray]:
    """A pyarrow array of `length` values that are not written yet, and its memory to write to."""
    kind = np.dtype(dtype)
    buffer = pa.allocate_buffer(length * kind.itemsize)
    out = np.frombuffer(buffer, kind) if length else np.empty(0, kind)
    return pa.Array.from_buffers(pa.from_numpy_dtype(kind), length, [None, buffer]), out


def _cut(values: pa.Array, plan: Any, options: GroupOptions) -> pa.Array:
    size = int(options.block_size)
    if options.remainder != "keep":
        return pa.FixedSizeListArray.from_arrays(values, size)
    offsets = np.minimum(np.arange(plan.blocks + 1, dtype=np.int64) * size, plan.length)
    return pa.LargeListArray.from_arrays(pa.array(offsets), values)


def _call(column: str, function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call the core, and name the column where it finds a fault."""
    try:
        return function(*args, **kwargs)
    except TypeError as error:
        raise InputTypeError(_named(column, error)) from None
    except ValueError as error:
        raise InputError(_named(column, error)) from None


def _named(column: str, error: Exception) -> str:
    return f"column {column!r}: {error}" if column else str(error)
