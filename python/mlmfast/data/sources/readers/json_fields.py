"""Where a JSON record holds its text: one rule for files read in bulk and line by line."""

from __future__ import annotations

from typing import Any


class NotTextError(Exception):
    """A field holds something else than text, lists of it or null.

    Attributes:
        value: What it holds.
    """

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.value = value


def has_field(value: Any, path: tuple[str, ...]) -> bool:
    """Whether the field `path` exists below `value`, be it null."""
    if isinstance(value, list):
        return not value or any(has_field(item, path) for item in value)
    if not path or value is None:
        return True
    if not isinstance(value, dict):
        return True  # no text: `text_at` names the value
    return path[0] in value and has_field(value[path[0]], path[1:])


def text_at(value: Any, path: tuple[str, ...]) -> str | None:
    """Return the text at `path` below a JSON value; None where it is null or missing.

    Lists on the way are passed through, and the texts of a list are joined by blanks.

    Raises:
        NotTextError: The value there is no text.
    """
    if value is None:
        return None
    if isinstance(value, list):
        texts = [text_at(item, path) for item in value]
        return " ".join(text for text in texts if text is not None)
    if path and isinstance(value, dict):
        return text_at(value.get(path[0]), path[1:])
    if not path and isinstance(value, str):
        return value
    raise NotTextError(value)
