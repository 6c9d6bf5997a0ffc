"""Text out of an Arrow column, however deep it lies."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlmfast.data.arrow_numpy import arrow_numbers, numpy_numbers, one_text
from mlmfast.errors import InputError

_BINARY = pa.large_binary()


def plain_text(array: pa.Array) -> pa.LargeStringArray:
    """Return a column of strings, in a dictionary perhaps, as LargeString; not checked as UTF-8."""
    return column_bytes(array, (), "text", "the column").view(pa.large_string())


def leaf_names(fields: list[pa.Field], prefix: str = "") -> list[str]:
    """Return the names by which `text_column` can reach what an Arrow schema holds."""
    names: list[str] = []
    for field in fields:
        kind = field.type
        while _is_list(kind):
            kind = kind.value_type
        name = prefix + field.name
        inner = list(kind) if pa.types.is_struct(kind) else []
        names += leaf_names(inner, name + ".") if inner else [name]
    return names


def text_columns(schema: pa.Schema) -> list[str]:
    """Return the names of the columns whose type is that of text."""
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return [field.name for field in schema if any(is_kind(field.type) for is_kind in kinds)]


def column_bytes(array: pa.Array, path: tuple[str, ...], column: str, source: str) -> pa.Array:
    """Return the texts at `path` below a column as LargeBinary; not checked as UTF-8.

    Args:
        array: The column, `[N]`.
        path: Fields below it, from the outermost on.
        column: What the user calls the text, for errors.
        source: Where it comes from, for errors.

    Raises:
        InputError: There is no such field, or what is there is no text.
    """
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return column_bytes(array.storage, path, column, source)
    if pa.types.is_dictionary(kind):
        # Arrow cannot take views by their numbers, and a dictionary may hold nulls of its own.
        return column_bytes(array.dictionary, path, column, source).take(array.indices)
    if pa.types.is_run_end_encoded(kind):
        return column_bytes(pc.run_end_decode(array), path, column, source)
    if _is_list(kind):
        return _joined(array, path, column, source)
    if pa.types.is_null(kind):
        return array.cast(_BINARY)
    if pa.types.is_struct(kind):
        below = [field.name for field in kind]
        if not path:
            raise InputError(
                f"{source}: the column {column!r} holds fields, not text: name one of them, "
                f"such as {f'{column}.{below[0]}' if below else 'another column'!r}."
            )
        if path[0] not in below:
            raise unknown_column(
                source, column, leaf_names(list(kind), column.rsplit(".", len(path))[0] + ".")
            )
        return column_bytes(
            pc.struct_field(array, [below.index(path[0])]), path[1:], column, source
        )
    if path:
        raise InputError(
            f"{source}: the column {column!r} leads to {kind}, which has no field {path[0]!r}."
        )
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return array.cast(pa.large_string()).view(_BINARY)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return array.cast(_BINARY)
    raise InputError(f"{source}: the column {column!r} holds {kind}, not text.")


def _joined(array: pa.Array, path: tuple[str, ...], column: str, source: str) -> pa.Array:
    """Join the texts of every list by blanks; nulls in a list are passed over."""
    lengths = numpy_numbers(pc.list_value_length(array).cast(pa.int64()))
    lengths = np.where(numpy_numbers(array.is_valid()), lengths, 0)
    texts = column_bytes(array.flatten(), path, column, source)
    if texts.null_count:
        parents = np.repeat(np.arange(len(array)), lengths)
        there = texts.is_valid()
        lengths = np.bincount(parents[numpy_numbers(there)], minlength=len(array))
        texts = texts.filter(there)
    offsets = arrow_numbers(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
    missing = array.is_null() if array.null_count else None
    lists = pa.LargeListArray.from_arrays(offsets, texts, mask=missing)
    return pc.binary_join(lists, one_text(b" ")[0])


class UnknownColumnError(InputError):
    """A column is not there.

    Attributes:
        text_columns: the columns that hold text, as far as the first rows or the schema show.
    """

    def __init__(self, message: str, text_columns: Iterable[str] = ()) -> None:
        self.text_columns = tuple(text_columns)
        super().__init__(message)


def unknown_column(
    source: str, text_column: str, there: list[str], text_columns: Iterable[str] = ()
) -> UnknownColumnError:
    """Return the error for a column that is not there; `there` names those that are."""
    known = ", ".join(repr(name) for name in there[:30]) or "none"
    more = f" and {len(there) - 30} more" if len(there) > 30 else ""
    return UnknownColumnError(
        f"{source} has no column {text_column!r}. The columns there are: {known}{more}. "
        "Choose one with --text-column (text_column=...).",
        text_columns,
    )


def _is_list(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
    )
