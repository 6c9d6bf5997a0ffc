"""The guard that lets only valid UTF-8 through."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from mlmfast.data.arrow_text import column_bytes
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.data.sources.base import ReadOptions

_WAY_OUT = "Use --on-invalid-utf8 replace (or skip) to read on, or convert the text to UTF-8."


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
        path: The fields that lead to the text below the column; lists on the way are passed
            through, and the strings of a list are joined by a blank.
        options: The policy for invalid UTF-8.
        source: Names the place for the error's message.
        where: Names the place of a row.

    Raises:
        InputError: There is no such field, or what is there is no text.
    """
    return checked_text(column_bytes(column, path, options.text_column, source), options, where)


def checked_text(array: pa.Array, options: ReadOptions, where: Callable[[int], str]) -> pa.Array:
    """Return a LargeBinary array as LargeString, invalid UTF-8 treated as the options say.

    Args:
        array: The documents' bytes; nulls stay nulls.
        options: The policy; its counts are brought up to date.
        where: Names the place of a row for the error's message.

    Raises:
        InputError: A document is no UTF-8, and the policy is "error".
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
    """Decode one document as the policy says; None leaves it out."""
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
            else _WAY_OUT
        )
        raise InputError(
            f"{where()}: invalid UTF-8, byte 0x{value[error.start]:02x} at position "
            f"{error.start + 1}. {way_out}"
        ) from None


def whole_characters(value: str, options: ReadOptions, where: Callable[[], str]) -> str | None:
    """Treat halves of surrogate pairs, which JSON's escapes can spell, as invalid UTF-8."""
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
            f"(\\u{ord(value[error.start]):04x}), which is no character. {_WAY_OUT}"
        ) from None
    return value
