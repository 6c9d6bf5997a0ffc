"""Decoding documents and handling invalid UTF-8."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from mlmfast.data.arrow_text import column_bytes
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.data.sources.base import ReadOptions

_HINT = "Use --on-invalid-utf8 replace (or skip) to read on, or convert the text to UTF-8."


def column_text(
    column: pa.Array,
    path: tuple[str, ...],
    options: ReadOptions,
    source: str,
    where: Callable[[int], str],
) -> pa.Array:
    """Return the documents of a column as LargeString.

    Args:
        column: The column that `path` begins with.
        path: The fields that lead from the column to the text. Lists on the path are flattened, and
            the strings of a list are joined with a space.
        options: The policy for invalid UTF-8.
        source: The source's name in error messages.
        where: Returns the location of a row for error messages.

    Raises:
        InputError: The field does not exist, or does not hold text.
    """
    texts = column_bytes(
        column, path, options.text_column, source, numbers_as_text=options.numbers_as_text
    )
    return checked_text(texts, options, where)


def checked_text(array: pa.Array, options: ReadOptions, where: Callable[[int], str]) -> pa.Array:
    """Return a LargeBinary array as LargeString; the options decide about invalid UTF-8.

    Args:
        array: The documents' bytes; nulls stay nulls.
        options: The policy; its counters are updated.
        where: Returns the location of a row for error messages.

    Raises:
        InputError: A document is not UTF-8, and the policy is "error".
    """
    try:
        return array.cast(pa.large_string())
    except pa.ArrowInvalid:
        pass
    texts = [
        None if value is None else decoded(value, options, partial(where, row))
        for row, value in enumerate(array.to_pylist())
    ]
    return pa.array(texts, pa.large_string())


def decoded(value: bytes, options: ReadOptions, where: Callable[[], str]) -> str | None:
    """Decode one document according to the policy; None skips it."""
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        if options.on_invalid_utf8 == "replace":
            options.replaced += 1
            return value.decode(errors="replace")
        if options.on_invalid_utf8 == "skip":
            options.skipped += 1
            return None
        way_out = (
            "The document holds NUL bytes too, as text hardly does: is this a binary file?"
            if b"\0" in value
            else _HINT
        )
        raise InputError(
            f"{where()}: invalid UTF-8, byte 0x{value[error.start]:02x} at position "
            f"{error.start + 1}. {way_out}"
        ) from None


def without_surrogates(value: str, options: ReadOptions, where: Callable[[], str]) -> str | None:
    """Treat unpaired surrogates, which JSON escapes can contain, as invalid UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        if options.on_invalid_utf8 == "replace":
            options.replaced += 1
            # "replace" writes a question mark when encoding; U+FFFD is what decoding gives.
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if options.on_invalid_utf8 == "skip":
            options.skipped += 1
            return None
        raise InputError(
            f"{where()}: the text holds half of a surrogate pair "
            f"(\\u{ord(value[error.start]):04x}), which is no character. {_HINT}"
        ) from None
    return value
