"""Units of text, each of which one task tokenizes, and what is known of them afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlmfast.data.prepare.reading.documents import Counts
from mlmfast.data.sources.sections import Section, split_source

if TYPE_CHECKING:
    from mlmfast.data.sources.base import ReadOptions, Source


@dataclass(frozen=True)
class Unit:
    """The text of one task: consecutive sections of the sources."""

    number: int
    sections: tuple[Section, ...]

    @property
    def size(self) -> int:
        """About how many bytes there are to read."""
        return sum(section.size or 0 for section in self.sections)


@dataclass(frozen=True)
class Tokenized:
    """The result of tokenizing a unit."""

    file: str
    read: int
    """Documents that were read; `numbers` in the file counts them from 0."""
    documents: int
    """Documents in the file."""
    tokens: int
    text_bytes: int
    counts: Counts
    engine: str
    """The engine that encoded them."""
    hashes: str | None = None
    """The file that tells its duplicates of others: `UnitTexts.write` or `unit_keys`."""
    hash_count: int = 0
    """Hashes or keys in that file."""


@dataclass(frozen=True)
class TokenizedUnit:
    """The tokens of a unit, and its position in the input."""

    tokenized: Tokenized
    first: int
    """Number of its first document."""


def units_of(sources: list[Source], size: int, reading: ReadOptions | None = None) -> list[Unit]:
    """Divide all sources into units of about `size` bytes; small files share one.

    Raises:
        InputError: A source can be read by this process only.
    """
    units: list[Unit] = []
    held: list[Section] = []
    for section in (
        section for source in sources for section in split_source(source, size, reading)
    ):
        if held and sum(one.size or 0 for one in held) + (section.size or 0) > size:
            units.append(Unit(len(units), tuple(held)))
            held = []
        held.append(section)
    if held:
        units.append(Unit(len(units), tuple(held)))
    return units
