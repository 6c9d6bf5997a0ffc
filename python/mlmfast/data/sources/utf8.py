"""The guard that lets only valid UTF-8 through."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.data.sources.base import ReadOptions

WAY_OUT = "Use --on-invalid-utf8 replace (or skip) to read on, or convert the text to UTF-8."


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
            else WAY_OUT
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
            f"(\\u{ord(value[error.start]):04x}), which is no character. {WAY_OUT}"
        ) from None
    return value
