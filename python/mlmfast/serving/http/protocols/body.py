"""JSON bodies: parsed and validated at a cost that their size bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import orjson
from pydantic import BaseModel, ValidationError

from mlmfast.serving.http.errors import HTTPError, bad_body

if TYPE_CHECKING:
    from collections.abc import Sequence

# Every value becomes an object, and a megabyte can hold half a million of them. The largest
# requests of our protocols have a few thousand: texts, targets and options.
_MAX_VALUES = 50_000
# pydantic reports each key that it does not know; no object of a request has so many.
_MAX_KEYS = 64
_MAX_DEPTH = 4

Body = TypeVar("Body", bound=BaseModel)


def parse_body(kind: type[Body], body: bytes) -> Body:
    """Parse and validate a JSON body.

    Raises:
        HTTPError: it is no valid JSON, has too many values, or is not what `kind` describes.
    """
    content = load_json(body)
    _check_keys(content, _MAX_DEPTH)
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise bad_body(error) from None


def load_json(body: bytes) -> Any:
    """Parse a JSON body.

    Raises:
        HTTPError: it is no valid JSON, or has too many values.
    """
    if _separators(body) > _MAX_VALUES and _separators(_without_strings(body)) > _MAX_VALUES:
        raise HTTPError(
            422, "too_many_values", f"The body has more than {_MAX_VALUES:,} values and keys."
        )
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise HTTPError(400, "bad_json", f"The body is no valid JSON: {error}.") from None


def _separators(body: bytes) -> int:
    """Count what stands between values, and before those that are nested in lists."""
    return body.count(b",") + body.count(b":") + body.count(b"[")


def _without_strings(body: bytes) -> bytes:
    """Leave out the contents of strings."""
    plain = body.replace(rb"\\", b"").replace(rb"\"", b"")
    characters = np.frombuffer(plain, np.uint8)
    inside = np.cumsum(characters == ord('"'), dtype=np.uint8) & 1
    return characters[inside == 0].tobytes()


def _check_keys(content: Any, depth: int) -> None:
    if isinstance(content, dict):
        if len(content) > _MAX_KEYS:
            raise HTTPError(
                422,
                "bad_request",
                f"An object of the body has {len(content):,} keys, and may have at most "
                f"{_MAX_KEYS}.",
            )
        inner: Sequence[Any] = tuple(content.values())
    elif isinstance(content, list) and content and isinstance(content[0], dict):
        inner = content[:_MAX_KEYS]  # longer lists of objects are refused by their length
    else:
        return
    if depth:
        for value in inner:
            _check_keys(value, depth - 1)
