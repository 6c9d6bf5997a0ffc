"""Grouping Arrow columns with the core, which writes into memory of pyarrow's pool.

The pool reuses the pages of freed results. Fresh pages, which the system must map and clear, would
cost more time than copying the tokens does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from mlmfast import _core
from mlmfast.data.arrow_interop import BARE
from mlmfast.data.arrow_numpy import arrow_numbers
from mlmfast.data.blocks.options import GroupOptions, GroupStats, fill_rate
from mlmfast.errors import InputError, InputTypeError

# Array types whose rows are contiguous by their layout.
_CONTIGUOUS = (pa.LargeListArray, pa.ListArray)
# Type ids, since hashing a type takes longer than cutting a column.
_INTEGER_TYPE_IDS = frozenset(
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
        Name -> `FixedSizeList[block_size]`, and the number of tokens of all rows. No columns if
        tokens must be moved, converted or checked, or if the data is invalid: then the core groups
        them and reports errors.
    """
    unshared: tuple[dict[str, Any], int] = {}, 0
    if not options.is_zero_copy:
        return unshared
    size, total = int(options.block_size), -1
    blocks: dict[str, Any] = {}
    for name, column in columns.items():
        token_range = _contiguous_tokens(column)
        if token_range is None:
            return unshared
        values, start, tokens = token_range
        length = tokens // size * size
        if total not in (-1, tokens) or not length:
            return unshared
        total = tokens
        blocks[name] = pa.FixedSizeListArray.from_arrays(values.slice(start, length), size)
    return blocks, total


def _contiguous_tokens(column: Any) -> tuple[pa.Array, int, int] | None:
    """Return a column's tokens as (values, start, length); None if they are not contiguous."""
    if isinstance(column, pa.ChunkedArray):
        if column.num_chunks != 1:
            return None
        column = column.chunk(0)
    if type(column) not in _CONTIGUOUS or column.null_count or not len(column):
        return None
    values = column.values
    if values.type.id not in _INTEGER_TYPE_IDS or values.null_count:
        return None
    offsets = column.offsets
    start, stop = offsets[0].as_py(), offsets[-1].as_py()
    # The core reports invalid offsets.
    return (values, start, stop - start) if 0 <= start <= stop <= len(values) else None


# Columns of token ids, to which `dtype` applies.
_ID_COLUMNS = (BARE, "input_ids")


def group_columns(
    columns: dict[str, Any],
    options: GroupOptions,
    *,
    labels: bool = False,
    threads: int | None = None,
) -> tuple[dict[str, Any], GroupStats]:
    """Group all columns by one plan, which is laid out for the first column.

    Args:
        columns: Name -> pyarrow Array or ChunkedArray of lists.
        options: How to group.
        labels: Add `labels`, equal to `input_ids`.
        threads: Maximum number of threads; None uses all cores of the machine.

    Returns:
        Name -> pyarrow array with one row per block, and the statistics.

    Raises:
        InputError: There are nulls, columns of different lengths, or values that do not fit.
        InputTypeError: A column does not hold lists of integers.
    """
    blocks, tokens = share_columns(columns, options)
    if blocks:
        count, dropped = divmod(tokens, int(options.block_size))
        _add_labels(blocks, labels)
        return blocks, GroupStats(tokens, count, 1.0, dropped, 0)
    added = _boundary_columns(columns, options)
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
        dtype = options.dtype if options.dtype and name in _ID_COLUMNS else column.dtype
        fills = options.fills_for(name)
        values = _call(name, plan.share, column) if dtype == column.dtype else None
        if values is None:
            values, out = _allocate(dtype, plan.length)
            _call(name, plan.write, column, out, **fills, threads=threads)
        blocks[name] = _cut(values, plan, options)
    _add_labels(blocks, labels)
    for name in added:
        blocks[name] = _boundary_column(name, plan, options, threads)
    positions, padding = plan.length, plan.padding_tokens
    stats = GroupStats(
        plan.tokens, plan.blocks, fill_rate(positions, padding), plan.dropped_tokens, padding
    )
    return blocks, stats


def _add_labels(blocks: dict[str, Any], labels: bool) -> None:
    if labels and "input_ids" in blocks:
        blocks["labels"] = blocks["input_ids"]


def _boundary_columns(columns: dict[str, Any], options: GroupOptions) -> list[str]:
    """Return the names of the boundary columns to add."""
    if options.boundaries is None:
        return []
    if BARE in columns:
        raise InputError(
            "boundaries are columns beside the tokens, and bare lists have no columns: give a "
            "table, such as pa.table({'input_ids': lists})"
        )
    names = [options.boundaries]
    if options.boundaries == "sequence_lengths":
        names.insert(0, "position_ids")
    for name in names:
        if name in columns:
            raise InputError(f"the data has a column {name!r} already, which boundaries would add")
    return names


def _boundary_column(name: str, plan: Any, options: GroupOptions, threads: int | None) -> Any:
    if name in ("sequence_lengths", "document_starts"):
        read = plan.segments if name == "sequence_lengths" else plan.document_starts
        offsets, numbers = read(threads=threads)
        # LargeList: there can be more than 2^31 documents.
        return pa.LargeListArray.from_arrays(arrow_numbers(offsets), arrow_numbers(numbers))
    values, out = _allocate("int32", plan.length)
    if name == "document_ids":
        plan.document_ids(out, threads=threads)
    else:
        plan.position_ids(out, offset=int(options.position_offset), threads=threads)
    return _cut(values, plan, options)


def _allocate(dtype: str, length: int) -> tuple[pa.Array, np.ndarray]:
    """Allocate a pyarrow array of `length` values; return it with its writable memory."""
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
    """Call the core; its errors name the column."""
    try:
        return function(*args, **kwargs)
    except TypeError as error:
        raise InputTypeError(_with_column(column, error)) from None
    except ValueError as error:
        raise InputError(_with_column(column, error)) from None


def _with_column(column: str, error: Exception) -> str:
    return f"column {column!r}: {error}" if column else str(error)
