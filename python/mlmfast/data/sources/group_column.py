"""The column by which documents are grouped, such as the site or the author of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlmfast.data.arrow_numpy import numpy_numbers
from mlmfast.data.arrow_text import UnknownColumnError
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.data.sources.base import Groups, ReadOptions


@contextmanager
def finding_group_column() -> Iterator[None]:
    """Let the error for a missing column name the option that chooses the groups."""
    try:
        yield
    except UnknownColumnError as error:
        raise InputError(f"{error.fact} Choose one with --test-by (test_by=...).") from error


def refuse_group_column(name: str, kind: str, options: ReadOptions) -> None:
    """Raise InputError if documents are to be grouped, but their format has no columns."""
    if options.group_column is not None:
        raise InputError(
            f"{name} has no columns ({kind}), so none named {options.group_column!r} for --test-by "
            "(test_by=...): name CSV, TSV, JSON lines, Parquet or Arrow files, or a data set."
        )


def group_values(column: Groups, texts: pa.LargeStringArray, options: ReadOptions) -> pa.Array:
    """Return the group of each document of a piece, as LargeString.

    Args:
        column: The piece's `groups`.
        texts: What the piece decodes to; nulls are no documents, and need no group.
        options: How the piece was read; its counters stay as they are.

    Raises:
        InputError: A document has no group.
    """
    if options.group_column is None:
        raise ValueError("the piece was read without a group column")
    reading = replace(options, text_column=options.group_column, numbers_as_text=True)
    with finding_group_column():
        groups = column.decode(reading)
    given = pc.greater(pc.fill_null(pc.binary_length(groups), 0), 0)
    gaps = np.flatnonzero(numpy_numbers(texts.is_valid()) & ~numpy_numbers(given))
    if len(gaps):
        raise InputError(
            f"{column.where(int(gaps[0]))}: the document has no value in the column "
            f"{options.group_column!r}, which --test-by (test_by=...) keeps together in one split. "
            "Give it one, or leave the document out."
        )
    return groups
