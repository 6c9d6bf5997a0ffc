"""Grouping a mapping of Python lists, as `group_texts` of the Hugging Face guide does.

Handling Python's integers takes most of the time, and `chain` touches each of them only once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate, chain
from typing import Any

from mlmfast.data.blocks.options import GroupOptions, GroupStats, fill_rate
from mlmfast.errors import InputError, InputTypeError


def group_mapping(
    batch: Mapping[str, Any], options: GroupOptions, *, labels: bool, keep_short: bool | None
) -> tuple[dict[str, list[Any]], GroupStats]:
    """Group lists; options that the guide's function does not have are handled as Arrow data.

    Args:
        batch: Column name -> rows; a row is a list (or array) of tokens.
        options: How to group.
        labels: Add `labels`, a copy of `input_ids`.
        keep_short: With `remainder="drop"`, keep a total of less than one block; None means True.

    Returns:
        Column name -> blocks, each a list; and the statistics.

    Raises:
        InputError: An option applies to Arrow data only.
        InputTypeError: A row is not a list.
    """
    if options.dtype is not None:
        raise InputError("dtype is for Arrow data: the integers of Python's lists have no type")
    if options.matches_group_texts:
        return _group_texts(batch, options, labels=labels, keep_short=keep_short is not False)
    if keep_short:
        raise InputError(
            "keep_short=True is not for cls_id, sep_id, packing='best_fit' or boundaries: use "
            "remainder='keep'"
        )
    return _group_as_arrow(batch, options, labels=labels)


def _group_texts(
    batch: Mapping[str, Any], options: GroupOptions, *, labels: bool, keep_short: bool
) -> tuple[dict[str, list[Any]], GroupStats]:
    """Concatenate every column, and cut all columns at the length of the first."""
    fills = {name: options.fills_for(name) for name in batch}
    rows = {name: [_as_list(name, row) for row in batch[name]] for name in batch}
    joined = {name: list(_concatenated(rows[name], fills[name]["separator_id"])) for name in batch}
    size = options.block_size
    total = length = len(next(iter(joined.values()), []))
    tokens = sum(map(len, next(iter(rows.values()), [])))
    if options.remainder == "pad":
        length += -total % size
        for name, ids in joined.items():
            ids.extend([fills[name]["pad_id"]] * (length - total))
    elif options.remainder == "drop" and (total >= size or not keep_short):
        length -= total % size
    blocks = {
        name: [ids[at : at + size] for at in range(0, length, size)] for name, ids in joined.items()
    }
    if labels and "input_ids" in blocks:
        blocks["labels"] = blocks["input_ids"].copy()
    padding, kept = max(0, length - total), min(length, total)
    dropped = tokens - _tokens_within(kept, rows, options)
    count = -(-length // size)
    return blocks, GroupStats(tokens, count, fill_rate(length, padding), dropped, padding)


def _tokens_within(kept: int, rows: dict[str, list[Any]], options: GroupOptions) -> int:
    """Count the tokens among the first `kept` positions that are not separators."""
    if options.separator_id is None:
        return kept
    ends = accumulate(len(row) + 1 for row in next(iter(rows.values()), []) if row)
    # No separator follows the last document, and its end is never counted: it exceeds `kept`.
    return kept - sum(end <= kept for end in ends)


def _group_as_arrow(
    batch: Mapping[str, Any], options: GroupOptions, *, labels: bool
) -> tuple[dict[str, list[Any]], GroupStats]:
    import pyarrow as pa

    from mlmfast.data.blocks.arrow import group_columns

    columns = {}
    for name, rows in batch.items():
        lists = [_as_list(name, row) for row in rows]
        try:
            columns[name] = pa.array(lists, pa.large_list(pa.int64()))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise InputTypeError(f"column {name!r} holds no lists of integers: {error}") from error
    blocks, stats = group_columns(columns, options, labels=labels)
    return {name: column.to_pylist() for name, column in blocks.items()}, stats


def _concatenated(lists: list[Any], separator: int | None) -> Iterator[Any]:
    if separator is None:
        return chain.from_iterable(lists)
    documents = (row for row in lists if row)
    first: Any = next(documents, [])
    return chain(first, chain.from_iterable([separator, *row] for row in documents))


def _as_list(name: str, row: Any) -> list[Any] | tuple[Any, ...]:
    if isinstance(row, list | tuple):
        return row
    if getattr(row, "ndim", 0) == 1:  # a numpy or torch row of a formatted data set
        return row.tolist()
    raise InputTypeError(
        f"column {name!r} holds {type(row).__name__}, not lists of tokens: leave it out "
        f"(in datasets, map(..., remove_columns=[{name!r}]))"
    )
