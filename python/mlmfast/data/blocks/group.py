"""Concatenate token lists and cut them into blocks: `group_blocks`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlmfast.data.arrow_interop import columns_of, to_kind_of
from mlmfast.data.blocks.mapping import group_mapping
from mlmfast.data.blocks.options import checked_options
from mlmfast.errors import InputError


def group_blocks(
    data: Any,
    block_size: int = 128,
    *,
    remainder: str = "drop",
    separator_id: int | None = None,
    pad_id: int | None = None,
    cls_id: int | None = None,
    sep_id: int | None = None,
    packing: str = "concat",
    boundaries: str | None = None,
    position_offset: int = 0,
    dtype: str | None = None,
    labels: bool | None = None,
    keep_short: bool | None = None,
    return_stats: bool = False,
    threads: int | None = None,
) -> Any:
    """Concatenate the rows of every list column, in order, and cut them into blocks.

    Arrow data goes through the compiled core, across all chunks at once, and keeps its integer
    type; a single chunk with contiguous rows is not copied. A mapping of lists, which is what
    `datasets.Dataset.map(group_blocks, batched=True)` passes, gives exactly what `group_texts` of
    the Hugging Face guide gives; for the Arrow path inside `map`, format the data set first:
    `dataset.with_format("arrow").map(group_blocks, batched=True)`.

    Args:
        data: Arrow lists of integers: a pyarrow Array, ChunkedArray, RecordBatch or Table, a
            polars Series or DataFrame, a `datasets.Dataset`, or anything else with
            `__arrow_c_stream__` or `__arrow_c_array__` (List, LargeList, ListView, LargeListView,
            FixedSizeList of int8 to uint64); every column of a table must be such a list. Or a
            mapping of column name to lists.
        block_size: Tokens per block.
        remainder: What to do with the tokens after the last whole block: `"drop"` drops them,
            `"pad"` pads them to a whole block, `"keep"` makes them a last, shorter block.
        separator_id: An id to insert into `input_ids` between consecutive documents (rows that are
            not empty).
        pad_id: The padding token's id; required by `remainder="pad"` and `packing="best_fit"`.
        cls_id: An id to begin every block with, included in `block_size`. The other columns get the
            values that a tokenizer would write there (attention_mask 1, special_tokens_mask 1 ...),
            as for the other inserted ids.
        sep_id: An id to end the tokens of every block with, before any padding.
        packing: `"concat"` concatenates the rows and cuts wherever a block ends. `"best_fit"` keeps
            every row whole that fits into a block: longer rows are first cut into pieces of a
            block's capacity, then all are placed by best-fit decreasing (TRL's `bfd`), and every
            block is padded with `pad_id`; `remainder` is ignored.
        boundaries: `"document_ids"` adds an int32 column of that name: 0, 1, 2 ... by the block's
            documents, -1 on padding (see `mlmfast.block_diagonal_mask`). `"document_starts"` adds
            the positions in each block at which a document begins or goes on, int32 and from 0 on:
            the column that `prepare` writes into a store. `"sequence_lengths"` adds
            a column of the lengths of each block's documents, and `position_ids`, which restart at
            each document. [CLS] belongs to the document after it, a separator and [SEP] to the
            one before. Requires columns: a table or a mapping.
        position_offset: The first position of a document: 0, or padding_idx + 1 for RoBERTa.
            Padding gets one less, but at least 0.
        dtype: `"uint16"`, `"uint32"`, `"int32"` or `"int64"`: convert `input_ids` (or the bare
            lists) in the same pass; the other columns keep their types. None keeps the type. Only
            for Arrow data: the integers of a mapping have no type.
        labels: Add a `labels` column, equal to `input_ids`. None means True for a mapping, as in
            the guide, and False for Arrow data, since the collator makes the labels.
        keep_short: Keep tokens that do not fill one block as a single short block. None means True
            for a mapping, as in the guide (run_mlm.py does as False), and False for Arrow data and
            with `cls_id`, `sep_id`, `packing="best_fit"` or `boundaries`.
        return_stats: Return `(data, GroupStats)`: how full the blocks are, what was dropped.
        threads: Maximum number of threads; None uses all cores of the machine.

    Returns:
        Data of the same kind as `data`, one row per block: `FixedSizeList[block_size]` (with
        `remainder="keep"`, `LargeList`) for Arrow data, lists for a mapping. The number of tokens
        is not limited; offsets have 64 bits.

    Raises:
        InputError: An option or a value cannot be used: nulls, columns of different lengths, an id
            that is missing or does not fit the column's type or `dtype` (the message names the row
            and the value).
        InputTypeError: A column does not hold lists of integers.

    Examples:
        >>> import pyarrow as pa
        >>> group_blocks(pa.array([[1, 2, 3], [4], [5, 6]]), block_size=2).to_pylist()
        [[1, 2], [3, 4], [5, 6]]
        >>> lines = pa.table({"input_ids": [[5, 6, 7], [8], [9]]})
        >>> packed = group_blocks(lines, 4, packing="best_fit", pad_id=0, boundaries="document_ids")
        >>> packed.to_pydict()
        {'input_ids': [[5, 6, 7, 8], [9, 0, 0, 0]], 'document_ids': [[0, 0, 0, 1], [0, -1, -1, -1]]}
        >>> group_blocks({"input_ids": [[1, 2, 3], [4, 5]]}, block_size=2)
        {'input_ids': [[1, 2], [3, 4]], 'labels': [[1, 2], [3, 4]]}
    """
    options = checked_options(
        block_size,
        remainder,
        separator_id,
        pad_id,
        cls_id,
        sep_id,
        packing,
        boundaries,
        position_offset,
        dtype,
    )
    if isinstance(data, Mapping):
        grouped, stats = group_mapping(
            data, options, labels=labels is not False, keep_short=keep_short
        )
        return (grouped, stats) if return_stats else grouped
    if keep_short:
        raise InputError(
            "keep_short=True is for mappings, whose blocks may differ in length: "
            "use remainder='keep' for Arrow data"
        )
    from mlmfast.data.blocks.arrow import group_columns

    columns, stats = group_columns(columns_of(data), options, labels=bool(labels), threads=threads)
    blocks = to_kind_of(columns, data)
    return (blocks, stats) if return_stats else blocks
