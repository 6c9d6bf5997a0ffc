"""Mask tables of token ids, of any library that speaks Arrow: `TokenTable`."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlmfast.data.arrow_interop import BARE, columns_of, to_kind_of
from mlmfast.errors import InputError, InputTypeError

IDS, LABELS, SPECIAL = "input_ids", "labels", "special_tokens_mask"


class TokenTable:
    """A table with a column `input_ids`, of any library that speaks Arrow.

    Attributes:
        ids: The column `input_ids`, `[B, L]`.
        special_tokens_mask: The column of this name, bool `[B, L]`; None if there is none.
    """

    def __init__(self, table: Any, columns: dict[str, Any]) -> None:
        if IDS not in columns:
            raise InputError(
                f"the table has no column {IDS!r}; its columns are {', '.join(map(repr, columns))}"
            )
        self._table = table
        self._columns = columns
        self.ids = arrow_matrix(columns[IDS], IDS)
        self.special_tokens_mask: np.ndarray[Any, Any] | None = None
        if SPECIAL in columns:
            self.special_tokens_mask = arrow_matrix(columns[SPECIAL], SPECIAL).astype(np.bool_)

    @classmethod
    def of(cls, data: Any) -> TokenTable | None:
        """Return `data` as a table; None if it is something else, such as a column of ids."""
        # A datasets.Dataset has no Arrow method of its own, but converts with `with_format`.
        if not any(
            hasattr(data, name)
            for name in ("__arrow_c_stream__", "__arrow_c_array__", "with_format")
        ):
            return None
        columns = columns_of(data)
        return None if BARE in columns else cls(data, columns)

    def masked(self, ids: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> Any:
        """Return the table with these ids and labels `[B, L]`, without `special_tokens_mask`."""
        columns = {name: column for name, column in self._columns.items() if name != SPECIAL}
        columns |= {IDS: _to_column(ids), LABELS: _to_column(labels)}
        return to_kind_of(columns, self._table)


def bare_matrix(data: Any) -> np.ndarray[Any, Any]:
    """Return a column of ids as `[B, L]`."""
    return arrow_matrix(columns_of(data)[BARE], IDS)


def arrow_matrix(column: Any, name: str) -> np.ndarray[Any, Any]:
    """Return a column of lists of one length as `[B, L]`; a column of one chunk is not copied.

    Raises:
        InputError: The rows differ in length, or there are nulls.
        InputTypeError: It is not a column of lists.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    column_type = column.type
    fixed = pa.types.is_fixed_size_list(column_type)
    if not (fixed or pa.types.is_list(column_type) or pa.types.is_large_list(column_type)):
        raise InputTypeError(
            f"{name} must be an Arrow FixedSizeList of ids (or lists of one length), got "
            f"{column_type}: cut the lists into blocks with group_blocks first"
        )
    if column.null_count:
        raise InputError(f"{name} has null rows: drop them first")
    if fixed:
        length = column_type.list_size
    else:
        lengths = pc.unique(pc.list_value_length(column)).to_pylist()
        if len(lengths) > 1:
            raise InputError(
                f"the rows of {name} differ in length ({min(lengths)} to {max(lengths)} tokens): "
                "cut them into blocks with group_blocks first"
            )
        length = lengths[0] if lengths else 0
    # flatten() respects the offset of a slice, unlike `values`.
    values = column.flatten()
    if values.null_count:
        raise InputError(f"{name} has null values: fill or drop them first")
    return values.to_numpy(zero_copy_only=False).reshape(len(column), length)


def _to_column(rows: np.ndarray[Any, Any]) -> Any:
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
