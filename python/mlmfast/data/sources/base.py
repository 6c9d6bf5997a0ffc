"""The interface of text sources, and options for reading them."""

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
FASTA_CASES = ("keep", "upper")

# Text is read in pieces of about this size: large enough to make the overhead per piece negligible,
# small enough that a dozen pieces in flight between threads take little memory.
BATCH_BYTES = 4 << 20


@dataclass
class ReadOptions:
    """How text is read; one object is used for a whole run and counts invalid documents."""

    text_column: str = "text"
    """The column's name; dots select nested fields ("answers.text")."""
    on_invalid_utf8: str = "error"
    """"error", "replace" (with U+FFFD) or "skip" (drop the document)."""
    batch_bytes: int = BATCH_BYTES
    replaced: int = 0
    """Number of documents in which invalid UTF-8 was replaced."""
    skipped: int = 0
    """Number of documents skipped because of invalid UTF-8; they are read as nulls."""
    csv_delimiter: str | None = None
    """The character between fields; None: a comma in CSV, a tab in TSV."""
    csv_quoting: str = "minimal"
    """"minimal": quotes may enclose a field; "none": quotes are text."""
    json_field: str | None = None
    """The field of a JSON file's only object that holds the list of records."""
    fasta_case: str = "keep"
    """"keep", or "upper": lower-case letters of FASTA sequences are raised to upper case."""
    fasta_chunk: int | None = None
    """Cut FASTA sequences into documents of this many characters; None keeps them whole."""
    numbers_as_text: bool = False
    """Read numbers and true/false as the text that JSON writes for them, as labels may be."""
    group_column: str | None = None
    """A second column, whose values `Piece.groups` gives; None reads the text alone."""

    def __post_init__(self) -> None:
        check_choice("on_invalid_utf8", self.on_invalid_utf8, POLICIES)
        check_choice("fasta_case", self.fasta_case, FASTA_CASES)
        if not self.text_column or not isinstance(self.text_column, str):
            raise InputError(f"text_column must be a column's name; got {self.text_column!r}.")
        self.csv_delimiter = delimiter_of(self.csv_delimiter)
        self.csv_quoting = quoting_of(self.csv_quoting)


def delimiter_of(given: str | None) -> str | None:
    r"""Return the delimiter; a tab may be given as the two characters \t.

    Raises:
        InputError: The delimiter is not a single ASCII character that can separate fields.
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
    """Return "minimal" or "none"; the constants of the `csv` module are accepted too.

    Raises:
        InputError: The value is invalid.
    """
    known: dict[Any, str] = {"minimal": "minimal", "none": "none", QUOTE_NONE: "none"}
    known |= dict.fromkeys((QUOTE_MINIMAL, QUOTE_ALL, QUOTE_NONNUMERIC), "minimal")
    if isinstance(given, bool) or given not in known:
        raise InputError(f"csv_quoting must be one of {', '.join(QUOTINGS)}; got {given!r}.")
    return known[given]


Location = dict[str, Any]
"""Where a piece begins in a source, as a JSON object whose meaning only the source knows. With a
"stop", reading ends there: see `mlmfast.data.sources.sections`."""


@dataclass(frozen=True)
class Groups:
    """The values of `ReadOptions.group_column` for the documents of a piece, row by row."""

    decode: Callable[[ReadOptions], pa.Array]
    """Returns them as LargeString, with nulls where there is none; like `Piece.decode`."""
    where: Callable[[int], str]
    """Returns what messages call a row of the piece, such as "a.csv, row 3"."""


@dataclass(frozen=True)
class Piece:
    """A part of a source that is read but not yet decoded."""

    decode: Callable[[ReadOptions], pa.Array]
    """Returns the documents as LargeString, with nulls for documents without text. May be called in
    any thread, in parallel with other pieces, provided that each call has its own ReadOptions."""
    location: Location
    """Where the piece begins: `source.pieces(options, location)` starts with this piece."""
    position: int
    """Progress after this piece, in the units of the source's `size`."""
    groups: Groups | None = None
    """The values of the group column; None without one."""


class Source(Protocol):
    """A sequence of documents, read once and in order."""

    name: str
    size: int | None
    """The final value of `Piece.position`; None if unknown."""
    text_size: int | None
    """About how many bytes of text there are; None if unknown."""

    def pieces(self, options: ReadOptions, location: Location | None = None) -> Iterator[Piece]:
        """Yield the documents in pieces, from `location` on; None is the start of the source."""

    def fingerprint(self) -> dict[str, Any] | None:
        """Return values that change with the content; None if the source cannot be read again."""

    def stop(self) -> None:
        """Interrupt a read that waits for data; called from another thread."""


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
    """Return the path to `text_column` among the columns `names`; None if there is none.

    A column whose name contains the dots takes precedence over a nested field.
    """
    if text_column in names:
        return (text_column,)
    path = tuple(text_column.split("."))
    return path if path[0] in names else None
