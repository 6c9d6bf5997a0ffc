"""Grouping a mapping of Python lists, as the Hugging Face guide's `group_texts` does it.

The cost here is Python's own integers; `chain` touches each of them once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from mlmfast.data.group_options import GroupOptions
from mlmfast.errors import InputTypeError


def group_mapping(
    batch: Mapping[str, Any], options: GroupOptions, *, labels: bool, keep_short: bool
) -> dict[str, list[Any]]:
    """Concatenate every column and cut all of them where the first column's total says.

    Args:
        batch: Column name to rows, a row being a list (or array) of tokens.
        options: How to group.
        labels: Add `labels`, a copy of `input_ids`.
        keep_short: With `remainder="drop"`, keep a total of less than one block.

    Returns:
        Column name to blocks, each a list.

    Raises:
        InputTypeError: A row that is no list.
    """
    joined = {name: list(_joined(name, batch[name], options.separator_for(name))) for name in batch}
    size = options.block_size
    total = len(next(iter(joined.values()), []))
    if options.remainder == "pad":
        missing = -total % size
        for name, tokens in joined.items():
            tokens.extend([options.padding_for(name)] * missing)
        total += missing
    elif options.remainder == "drop" and (total >= size or not keep_short):
        total -= total % size
    blocks = {
        name: [tokens[at : at + size] for at in range(0, total, size)]
        for name, tokens in joined.items()
    }
    if labels and "input_ids" in blocks:
        blocks["labels"] = blocks["input_ids"].copy()
    return blocks


def _joined(name: str, rows: Iterable[Any], separator: int | None) -> Iterator[Any]:
    lists = (_as_list(name, row) for row in rows)
    if separator is None:
        return chain.from_iterable(lists)
    documents = (row for row in lists if row)
    first = next(documents, [])
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
