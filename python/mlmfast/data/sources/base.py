"""What every source of text has in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from csv import QUOTE_ALL, QUOTE_MINIMAL, QUOTE_NONE, QUOTE_NONNUMERIC
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from mlmfast.errors import InputError
from mlmfast.options import check_choice

if TYPE_CHECKING:
    import pyarrow as pa

POLICIES = ("error", "replace", "skip")
QUOTINGS = ("minimal", "none")

# Text is read in pieces of about this size: large enough that a piece's own cost does not show,
# small enough that a dozen of them on their way between threads are little memory.
BATCH_BYTES = 4 << 20


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
    csv_delimiter: str | None = None
    """What stands between the fields; None: a comma in CSV, a tab in TSV."""
    csv_quoting: str = "minimal"
    """"minimal": quotes may surround a field; "none": quotes are text."""
    json_field: str | None = None
    """The field of a JSON file's only object that holds the list of records."""

    def __post_init__(self) -> None:
        check_choice("on_invalid_utf8", self.on_invalid_utf8, POLICIES)
        if not self.text_column or not isinstance(self.text_column, str):
            raise InputError(f"text_column must be a column's name; got {self.text_column!r}.")
        self.csv_delimiter = delimiter_of(self.csv_delimiter)
        self.csv_quoting = quoting_of(self.csv_quoting)


def delimiter_of(given: str | None) -> str | None:
    r"""Return what separates fields; a tab may be spelled as the two characters \t.

    Raises:
        InputError: It is not one ASCII character that may stand between fields.
    """
    delimiter = "\t" if given == "\\t" else given
    if delimiter is None or (
        isinstance(delimiter, str)
        and len(delimiter) == 1
        and delimiter.isascii()
        and delimiter not in '"\r\n'
    ):
        return delimiter
    raise InputError(f"csv_delimiter must be one ASCII character, such as ';'; got {given!r}.")


def quoting_of(given: str | int) -> str:
    """Return "minimal" or "none", which may be given as the `csv` module's constants too.

    Raises:
        InputError: It is something else.
    """
    known: dict[Any, str] = {"minimal": "minimal", "none": "none", QUOTE_NONE: "none"}
    known |= dict.fromkeys((QUOTE_MINIMAL, QUOTE_ALL, QUOTE_NONNUMERIC), "minimal")
    if isinstance(given, bool) or given not in known:
        raise InputError(f"csv_quoting must be one of {', '.join(QUOTINGS)}; got {given!r}.")
    return known[given]


Place = dict[str, Any]
"""Where in a source a piece begins, as JSON can hold it; only the source itself understands it.
With a "stop", reading ends there: see `mlmfast.data.sources.sections`."""


@dataclass(frozen=True)
class Piece:
    """A part of a source, read but perhaps not decoded yet."""

    decode: Callable[[ReadOptions], pa.Array]
    """Gives the documents as LargeString, a null for one without text. May be called in any
    thread, together with those of other pieces as long as each has its own ReadOptions."""
    place: Place
    """Where it begins: `source.pieces(options, place)` begins with this piece."""
    position: int
    """How far reading had come after it, in the units of the source's `size`."""


class Source(Protocol):
    """Documents from one place, read once and in order."""

    name: str
    size: int | None
    """What `Piece.position` reaches at the end; None where it is not known."""

    def pieces(self, options: ReadOptions, place: Place | None = None) -> Iterator[Piece]:
        """Yield the documents in pieces, from `place` on; None begins at the beginning."""

    def fingerprint(self) -> dict[str, Any] | None:
        """Tell what the source is, so that a change shows; None where it cannot be read again."""

    def stop(self) -> None:
        """End a wait for data that may never come; called from another thread."""


def bounded(array: pa.Array, batch_bytes: int) -> Iterator[pa.Array]:
    """Cut a LargeString array into slices of about `batch_bytes`, one document at least each."""
    import numpy as np

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
