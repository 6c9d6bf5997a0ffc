"""Concatenate token lists and cut them into blocks: `group_blocks`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlmfast.data.arrow_kinds import columns_of, give_back
from mlmfast.data.group_mapping import group_mapping
from mlmfast.data.group_options import GroupOptions
from mlmfast.errors import InputError, InputTypeError


def group_blocks(
    data: Any,
    block_size: int = 128,
    *,
    remainder: str = "drop",
    separator_id: int | None = None,
    pad_id: int | None = None,
    labels: bool | None = None,
    keep_short: bool | None = None,
    threads: int | None = None,
) -> Any:
    """Concatenate the rows of every list column, in order, and cut them into blocks.

    Arrow data goes through the compiled core, across all chunks at once, and keeps its integer
    type; one chunk whose rows lie side by side is not copied. A mapping of lists, which is what
    `datasets.Dataset.map(group_blocks, batched=True)` passes, gives exactly what `group_texts` of
    the Hugging Face guide gives; for the Arrow path inside `map`, format the data set first:
    `dataset.with_format("arrow").map(group_blocks, batched=True)`.

    Args:
        data: Arrow lists of integers: a pyarrow Array, ChunkedArray, RecordBatch or Table, a
            polars Series or DataFrame, a `datasets.Dataset`, or anything else with
            `__arrow_c_stream__` or `__arrow_c_array__` (List, LargeList, ListView, LargeListView,
            FixedSizeList of int8 to uint64); every column of a table must be such a list. Or a
            mapping of column name to lists.
        block_size: Tokens a block.
        remainder: What becomes of the tokens after the last whole block: `"drop"` leaves them out,
            `"pad"` fills them up, `"keep"` makes them a last, shorter block.
        separator_id: An id to put into `input_ids` between one document (a row that is not empty)
            and the next.
        pad_id: The padding token's id; needed by `remainder="pad"`.
        labels: Add a `labels` column, equal to `input_ids`. None: yes for a mapping, as the guide
            does; no for Arrow data, since the collator makes the labels.
        keep_short: Keep tokens that do not fill even one block as one short block. None: yes for a
            mapping, as the guide does (False is what run_mlm.py does); no for Arrow data.
        threads: Threads at most; None for as many as the machine has.

    Returns:
        The kind of data that was given, one row a block: `FixedSizeList[block_size]` (with
        `remainder="keep"`, `LargeList`) for Arrow data, lists for a mapping.

    Raises:
        InputError: An option or a value that cannot be used: nulls, columns of different lengths,
            a padding id that is missing or does not fit the column's type.
        InputTypeError: A column that holds no lists of integers.

    Examples:
        >>> import pyarrow as pa
        >>> group_blocks(pa.array([[1, 2, 3], [4], [5, 6]]), block_size=2).to_pylist()
        [[1, 2], [3, 4], [5, 6]]
        >>> group_blocks({"input_ids": [[1, 2, 3], [4, 5]]}, block_size=2)
        {'input_ids': [[1, 2], [3, 4]], 'labels': [[1, 2], [3, 4]]}
    """
    options = GroupOptions(block_size, remainder, separator_id, pad_id)
    if isinstance(data, Mapping):
        return group_mapping(
            data, options, labels=labels is not False, keep_short=keep_short is not False
        )
    if keep_short:
        raise InputError(
            "keep_short=True is for mappings, whose blocks may differ in length: "
            "use remainder='keep' for Arrow data"
        )
    return give_back(_group_columns(columns_of(data), options, labels, threads), data)


def _group_columns(
    columns: dict[str, Any], options: GroupOptions, labels: bool | None, threads: int | None
) -> dict[str, Any]:
    from mlmfast import _core

    blocks: dict[str, Any] = {}
    totals: dict[str, int] = {}
    for name, column in columns.items():
        try:
            blocks[name], totals[name] = _core.group_lists(
                column,
                options.block_size,
                remainder=options.remainder,
                separator_id=options.separator_for(name),
                pad_id=options.padding_for(name),
                threads=threads,
            )
        except TypeError as error:
            raise InputTypeError(_named(name, error)) from None
        except ValueError as error:
            raise InputError(_named(name, error)) from None
    if len(set(totals.values())) > 1:
        counts = ", ".join(f"{name!r} {total:,}" for name, total in totals.items())
        raise InputError(f"the columns hold different numbers of tokens: {counts}")
    if labels and "input_ids" in blocks:
        blocks["labels"] = blocks["input_ids"]
    return blocks


def _named(column: str, error: Exception) -> str:
    return f"column {column!r}: {error}" if column else str(error)
