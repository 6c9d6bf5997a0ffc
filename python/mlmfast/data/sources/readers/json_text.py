"""The text in a JSON value that is a field of a sample."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from mlmfast.data.sources.readers.json_fields import NotTextError, text_at
from mlmfast.data.sources.readers.utf8 import decoded, without_surrogates
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.data.sources.base import ReadOptions

_SHOWN_CHARACTERS = 40


def json_text(
    data: bytes, path: tuple[str, ...], options: ReadOptions, where: Callable[[], str]
) -> str | None:
    """Return the text at `path` below a JSON value; None where there is none.

    Args:
        data: The value, which is not yet known to be UTF-8.
        path: The fields that lead to the text.
        options: How to read.
        where: Returns what messages call the sample.

    Raises:
        InputError: This is no JSON, or there is something else than text.
    """
    text = decoded(data, options, where)
    if text is None:
        return None
    try:
        value = text_at(json.loads(text), path)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where()}: broken JSON: {error}.") from None
    except NotTextError as error:
        value = error.value
        if options.numbers_as_text and isinstance(value, int | float):
            return json.dumps(value)
        column = options.text_column
        hint = (
            f" Name one of its fields, such as '{column}.{next(iter(value))}'."
            if isinstance(value, dict) and value
            else ""
        )
        shown = json.dumps(value, ensure_ascii=False)[:_SHOWN_CHARACTERS]
        raise InputError(
            f"{where()}: the column {column!r} holds {shown}, not text.{hint}"
        ) from None
    return None if value is None else without_surrogates(value, options, where)
