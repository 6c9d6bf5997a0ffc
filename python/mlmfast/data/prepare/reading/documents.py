"""The documents of a run: read, decoded, numbered and filtered."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlmfast.data.arrow_numpy import arrow_numbers, numpy_numbers, text_offsets
from mlmfast.data.prepare.split import group_keys
from mlmfast.data.sources.base import Location, Piece, ReadOptions, Source, bounded
from mlmfast.data.sources.group_column import group_values

if TYPE_CHECKING:
    from mlmfast.data.prepare.options import PrepareOptions
    from mlmfast.data.prepare.reading.dedup import Deduplication
    from mlmfast.data.prepare.reading.filtering import DocumentFilters, Filtered


@dataclass
class Counts:
    """How many documents were special in some way."""

    empty: int = 0
    null: int = 0
    """Documents without text, including those skipped for invalid UTF-8."""
    replaced: int = 0
    skipped: int = 0
    duplicates: int = 0
    filtered: dict[str, int] = field(default_factory=dict)
    """By the rule of a filter that left them out."""
    dropped_lines: dict[str, int] = field(default_factory=dict)
    """Lines of the other documents, by the rule that left them out."""

    def __add__(self, other: Counts) -> Counts:
        """Return the counts of both."""
        total = deepcopy(self)
        for each in fields(Counts):
            mine, more = getattr(total, each.name), getattr(other, each.name)
            if isinstance(more, dict):
                for rule, number in more.items():
                    mine[rule] = mine.get(rule, 0) + number
            else:
                setattr(total, each.name, mine + more)
        return total


@dataclass(frozen=True)
class Cursor:
    """A position from which a run can resume; serializable as JSON."""

    source: int = 0
    """Index of the source; with shuffled documents, of the bucket."""
    location: Location | None = None
    """Where a piece of the source begins; None is its beginning."""
    number: int = 0
    """Of the piece's first document."""
    counts: dict[str, Any] = field(default_factory=lambda: asdict(Counts()))
    """`Counts` before the piece."""
    seen: list[int] | None = None
    """`Deduplication.state` before the piece."""
    rows: int = 0
    """How many of the piece's documents are done."""
    position: int = 0
    """How far the sources have been read, for the progress bar."""


@dataclass(frozen=True)
class DocumentBatch:
    """Documents on their way to the tokenizer."""

    texts: pa.LargeStringArray
    """Without nulls."""
    numbers: np.ndarray
    """The documents' numbers in the order of reading, uint64."""
    groups: np.ndarray | None
    """The `group_keys` of the documents, uint64; None unless the splits divide groups."""
    cursor: Cursor
    """Just after these documents."""


@dataclass(frozen=True)
class Decoded:
    """The documents of a piece."""

    source: int
    location: Location
    position: int
    """Bytes read of all sources."""
    texts: pa.LargeStringArray
    replaced: int
    skipped: int
    groups: np.ndarray | None
    """The `group_keys` of the documents; nulls have any."""
    filtered: Filtered | None
    """What the filters say about them, where there are any."""


class Documents:
    """Reads the documents of all sources; the stages may run in different threads."""

    def __init__(
        self,
        sources: list[Source],
        reading: ReadOptions,
        options: PrepareOptions,
    ) -> None:
        """Read `sources`."""
        self._sources = sources
        self._reading = reading
        self._options = options
        self._seen: Deduplication | None = None
        self._filters: DocumentFilters | None = None
        if options.filters:
            from mlmfast.data.prepare.reading.filtering import DocumentFilters

            self._filters = DocumentFilters(options.filters)
        self.counts = Counts()
        self.read = 0
        """Documents that were read, including those left out."""

    def pieces(self, start: Cursor) -> Iterator[tuple[int, int, Piece]]:
        """Yield (index of the source, bytes of the sources before it, piece) from a cursor on."""
        before = 0
        for number, source in enumerate(self._sources):
            if number >= start.source:
                location = start.location if number == start.source else None
                for piece in source.pieces(self._reading, location):
                    yield number, before, piece
            before += source.size or 0

    def decode(self, item: tuple[int, int, Piece]) -> Decoded:
        """Decode what `pieces` yielded, in any thread."""
        source, before, piece = item
        reading = replace(self._reading, replaced=0, skipped=0)
        texts, filtered = piece.decode(reading), None
        if self._filters is not None:
            texts, filtered = self._filters(texts)
        return Decoded(
            source,
            piece.location,
            before + piece.position,
            texts,
            reading.replaced,
            reading.skipped,
            self._groups(piece, texts),
            filtered,
        )

    def _groups(self, piece: Piece, texts: pa.LargeStringArray) -> np.ndarray | None:
        if piece.groups is None:
            return None
        return group_keys(group_values(piece.groups, texts, self._reading), self._options.seed)

    def batches(
        self, decoded: Iterator[Decoded], start: Cursor, seen: Deduplication | None = None
    ) -> Iterator[DocumentBatch]:
        """Yield the documents to tokenize, and count those left out.

        Args:
            decoded: The results of `decode`, in order.
            start: The cursor where reading began.
            seen: Leaves out documents that came before.

        Raises:
            StoreError: The texts before `start` are not known any more.
        """
        self.counts = Counts(**deepcopy(start.counts))
        self._seen = seen
        if self._seen is not None and start.seen is not None:
            self._seen.restore(start.seen)
        number, limit = start.number, self._options.limit
        done = start.rows
        for piece in decoded:
            cursor = Cursor(
                piece.source,
                piece.location,
                number,
                asdict(self.counts),
                None if self._seen is None else self._seen.state,
                position=piece.position,
            )
            texts = piece.texts
            if limit is not None:
                texts = texts.slice(0, min(limit - number, len(texts)))
            rows = self._select(texts, number, piece)
            rows = rows[np.searchsorted(rows, done) :]
            yield from self._batches(texts, rows, piece.groups, number, cursor)
            number += len(texts)
            self.read = number
            # A source that starts elsewhere than at its beginning may be cut into other pieces.
            done = max(0, done - len(texts))
            if number == limit:
                return

    def _select(self, texts: pa.LargeStringArray, number: int, piece: Decoded) -> np.ndarray:
        counts = self.counts
        counts.replaced += piece.replaced
        counts.skipped += piece.skipped
        counts.null += texts.null_count
        keep = numpy_numbers(texts.is_valid())
        empty = keep & (np.diff(text_offsets(texts)) == 0)
        counts.empty += int(empty.sum())
        if self._options.drop_empty:
            blank = numpy_numbers(pc.fill_null(pc.utf8_is_space(texts), False))
            keep &= ~(empty | blank)
        if piece.filtered is not None:
            piece.filtered.count_documents(keep, counts.filtered)
            keep &= piece.filtered.kept(len(texts))
            piece.filtered.count_lines(keep, counts.dropped_lines)
        if self._seen is not None:
            fresh = self._seen.fresh(texts, number + np.arange(len(texts), dtype=np.uint64))
            counts.duplicates += int((keep & ~fresh).sum())
            keep &= fresh
        return np.flatnonzero(keep)

    def _batches(
        self,
        texts: pa.LargeStringArray,
        rows: np.ndarray,
        groups: np.ndarray | None,
        number: int,
        cursor: Cursor,
    ) -> Iterator[DocumentBatch]:
        chosen = texts if len(rows) == len(texts) else texts.take(arrow_numbers(rows))
        first = 0
        for part in bounded(chosen, self._reading.batch_bytes):
            part_rows = rows[first : first + len(part)]
            first += len(part)
            numbers = part_rows.astype(np.uint64) + np.uint64(number)
            part_groups = None if groups is None else groups[part_rows]
            here = replace(cursor, rows=int(part_rows[-1]) + 1)
            yield DocumentBatch(part, numbers, part_groups, here)
