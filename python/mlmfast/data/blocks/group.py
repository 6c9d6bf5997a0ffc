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
        pad_id: The padding token's id; needed by `remainder="pad"` and `packing="best_fit"`.
        cls_id: An id to begin every block with; `block_size` counts it. In the other columns
            stand what a tokenizer would write there (attention_mask 1, special_tokens_mask 1 ...);
            the same goes for the other ids.
        sep_id: An id to end the tokens of every block with, before any padding.
        packing: `"concat"` lays the rows one after the other and cuts wherever a block ends.
            `"best_fit"` keeps every row whole that fits a block: a longer one is cut into pieces
            of a block's room first, the rest is placed by best-fit decreasing (TRL's `bfd`), and
            every block is filled up with `pad_id`; `remainder` means nothing then.
        boundaries: `"document_ids"` adds an int32 column of that name: 0, 1, 2 ... by the block's
            documents, -1 on padding (see `mlmfast.block_diagonal_mask`). `"sequence_lengths"` adds
            a column of the lengths of each block's documents, and `position_ids`, which start anew
            in each document. [CLS] belongs to the document after it, a separator and [SEP] to the
            one before. Needs columns: a table or a mapping.
        position_offset: The first position of a document: 0, or padding_idx + 1 for RoBERTa.
            Padding gets one less, but at least 0.
        dtype: `"uint16"`, `"uint32"`, `"int32"` or `"int64"`: convert `input_ids` (or the bare
            lists) in the same pass; the other columns keep their types. None keeps it. For Arrow
            data: the integers of a mapping have no type.
        labels: Add a `labels` column, equal to `input_ids`. None: yes for a mapping, as the guide
            does; no for Arrow data, since the collator makes the labels.
        keep_short: Keep tokens that do not fill even one block as one short block. None: yes for a
            mapping, as the guide does (False is what run_mlm.py does); no for Arrow data, and
            with `cls_id`, `sep_id`, `packing="best_fit"` or `boundaries`.
        return_stats: Return `(data, GroupStats)`: how full the blocks are, what was dropped.
        threads: Threads at most; None for as many as the machine has.

    Returns:
        The kind of data that was given, one row a block: `FixedSizeList[block_size]` (with
        `remainder="keep"`, `LargeList`) for Arrow data, lists for a mapping. Any number of tokens
        is good; offsets have 64 bits.

    Raises:
        InputError: An option or a value that cannot be used: nulls, columns of different lengths,
            an id that is missing or does not fit the column's type or `dtype` (row and value
            are named).
        InputTypeError: A column that holds no lists of integers.

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
