"""Extracting text from Arrow columns, nested to any depth."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlmfast.data.arrow_numpy import arrow_numbers, numpy_numbers, one_text
from mlmfast.errors import InputError

_BINARY = pa.large_binary()
_STRINGS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
_NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)


def plain_text(array: pa.Array) -> pa.LargeStringArray:
    """Return a (dictionary-encoded) column of strings as LargeString; UTF-8 is unchecked."""
    return column_bytes(array, (), "text", "the column").view(pa.large_string())


def leaf_names(fields: list[pa.Field], prefix: str = "") -> list[str]:
    """Return the dotted names of all fields without children, as `text_column` accepts them."""
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
    """Return the names of the string columns."""
    return [field.name for field in schema if any(is_kind(field.type) for is_kind in _STRINGS)]


def column_bytes(
    array: pa.Array,
    path: tuple[str, ...],
    column: str,
    source: str,
    *,
    numbers_as_text: bool = False,
) -> pa.Array:
    """Return the texts at `path` below a column as LargeBinary; UTF-8 is unchecked.

    Args:
        array: The column, `[N]`.
        path: The fields below the column, outermost first.
        column: The user's name for the text, for errors.
        source: The name of the source, for errors.
        numbers_as_text: Return numbers and true/false as the text that JSON writes for them.

    Raises:
        InputError: The field does not exist, or does not hold text.
    """
    read = partial(column_bytes, column=column, source=source, numbers_as_text=numbers_as_text)
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return read(array.storage, path)
    if pa.types.is_dictionary(kind):
        # Arrow's `take` does not support string views, and a dictionary may hold nulls itself.
        return read(array.dictionary, path).take(array.indices)
    if pa.types.is_run_end_encoded(kind):
        return read(pc.run_end_decode(array), path)
    if _is_list(kind):
        return _join_lists(array, partial(read, path=path))
    if pa.types.is_null(kind):
        return array.cast(_BINARY)
    if pa.types.is_struct(kind):
        children = [field.name for field in kind]
        if not path:
            raise InputError(
                f"{source}: the column {column!r} holds fields, not text: name one of them, "
                f"such as {f'{column}.{children[0]}' if children else 'another column'!r}."
            )
        if path[0] not in children:
            raise unknown_column(
                source, column, leaf_names(list(kind), column.rsplit(".", len(path))[0] + ".")
            )
        return read(pc.struct_field(array, [children.index(path[0])]), path[1:])
    if path:
        raise InputError(
            f"{source}: the column {column!r} leads to {kind}, which has no field {path[0]!r}."
        )
    texts = _plain_bytes(array, numbers_as_text=numbers_as_text)
    if texts is None:
        raise InputError(f"{source}: the column {column!r} holds {kind}, not text.")
    return texts


def _plain_bytes(array: pa.Array, *, numbers_as_text: bool) -> pa.Array | None:
    """Return a column of strings or bytes as LargeBinary; None if it holds something else."""
    kind = array.type
    if any(is_kind(kind) for is_kind in _STRINGS):
        return array.cast(pa.large_string()).view(_BINARY)
    if any(is_kind(kind) for is_kind in _BYTES):
        return array.cast(_BINARY)
    if numbers_as_text and any(is_kind(kind) for is_kind in _NUMBERS):
        return array.cast(pa.string()).cast(pa.large_string()).view(_BINARY)
    return None


def _join_lists(array: pa.Array, read: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Join the texts of each list with spaces; nulls in a list are skipped."""
    lengths = numpy_numbers(pc.list_value_length(array).cast(pa.int64()))
    lengths = np.where(numpy_numbers(array.is_valid()), lengths, 0)
    texts = read(array.flatten())
    if texts.null_count:
        parents = np.repeat(np.arange(len(array)), lengths)
        valid = texts.is_valid()
        lengths = np.bincount(parents[numpy_numbers(valid)], minlength=len(array))
        texts = texts.filter(valid)
    offsets = arrow_numbers(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
    null_lists = array.is_null() if array.null_count else None
    lists = pa.LargeListArray.from_arrays(offsets, texts, mask=null_lists)
    return pc.binary_join(lists, one_text(b" ")[0])


class UnknownColumnError(InputError):
    """A column does not exist.

    Attributes:
        fact: What is missing and which columns there are, without the way out.
        text_columns: The columns that hold text, according to the first rows or the schema.
    """

    def __init__(self, fact: str, text_columns: Iterable[str] = ()) -> None:
        self.fact = fact
        self.text_columns = tuple(text_columns)
        super().__init__(f"{fact} Choose one with --text-column (text_column=...).")


def unknown_column(
    source: str, text_column: str, available: list[str], text_columns: Iterable[str] = ()
) -> UnknownColumnError:
    """Return the error for a missing column; `available` names the existing columns."""
    known = ", ".join(repr(name) for name in available[:30]) or "none"
    more = f" and {len(available) - 30} more" if len(available) > 30 else ""
    return UnknownColumnError(
        f"{source} has no column {text_column!r}. The columns there are: {known}{more}.",
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
