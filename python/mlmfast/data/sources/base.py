"""What every source of text has in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from mlmfast.errors import InputError

POLICIES = ("error", "replace", "skip")

# Text is read in batches of about this size: large enough to keep all threads busy.
BATCH_BYTES = 16 << 20


@dataclass
class ReadOptions:
    """How text is read; one object serves a whole run and counts what it met."""

    text_column: str = "text"
    """A column's name; dots reach into nested fields ("answers.text")."""
    on_invalid_utf8: str = "error"
    """"error", "replace" (by U+FFFD) or "skip" (leave the document out)."""
    batch_bytes: int = BATCH_BYTES
    replaced: int = 0
    """Documents in which invalid UTF-8 was replaced."""
    skipped: int = 0
    """Documents that were left out for invalid UTF-8; they come as nulls."""

    def __post_init__(self) -> None:
        if self.on_invalid_utf8 not in POLICIES:
            raise InputError(
                f"on_invalid_utf8 must be one of {', '.join(POLICIES)}; "
                f"got {self.on_invalid_utf8!r}."
            )
        if not self.text_column or not isinstance(self.text_column, str):
            raise InputError(f"text_column must be a column's name; got {self.text_column!r}.")


class Source(Protocol):
    """Documents from one place, read once and in order."""

    name: str
    size: int | None
    """What `position` reaches at the end; None where it is not known."""

    @property
    def position(self) -> int:
        """How far reading has come, in the units of `size`."""

    def batches(self, options: ReadOptions) -> Iterator[pa.Array]:
        """Yield the documents as LargeString arrays; a null is a document without text."""


def bounded(array: pa.Array, batch_bytes: int) -> Iterator[pa.Array]:
    """Cut a LargeString array into slices of about `batch_bytes`, one document at least each."""
    if array.nbytes <= batch_bytes:
        if len(array):
            yield array
        return
    first = array.offset
    offsets = np.frombuffer(array.buffers()[1], np.int64)[first : first + len(array) + 1]
    start = 0
    while start < len(array):
        stop = int(np.searchsorted(offsets, offsets[start] + batch_bytes, side="right")) - 1
        stop = min(max(stop, start + 1), len(array))
        yield array.slice(start, stop - start)
        start = stop


def resolve_column(names: list[str], text_column: str) -> tuple[str, ...] | None:
    """Return the way to `text_column` below columns `names`, or None if there is none.

    A column whose own name holds the dots goes before a nested field.
    """
    if text_column in names:
        return (text_column,)
    path = tuple(text_column.split("."))
    return path if path[0] in names else None


def unknown_column(source: str, text_column: str, there: list[str]) -> InputError:
    """Return the error for a column that is not there; `there` names those that are."""
    known = ", ".join(repr(name) for name in there[:30]) or "none"
    more = f" and {len(there) - 30} more" if len(there) > 30 else ""
    return InputError(
        f"{source} has no column {text_column!r}. The columns there are: {known}{more}. "
        "Choose one with --text-column (text_column=...)."
    )
