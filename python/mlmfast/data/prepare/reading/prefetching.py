"""Reading the documents of all sources ahead of the other stages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

from mlmfast.data.prepare.reading.documents import Cursor, Decoded, DocumentBatch, Documents
from mlmfast.runtime.cpu import thread_count
from mlmfast.runtime.pipeline import ThreadedPipeline

if TYPE_CHECKING:
    from mlmfast.data.prepare.options import PrepareOptions
    from mlmfast.data.prepare.reading.dedup import Deduplication
    from mlmfast.data.sources.base import ReadOptions, Source

# Pieces of text to read and decode ahead: what two threads read while a tokenizer is loaded.
_TEXTS_AHEAD = 8
_MOST_DECODERS = 4


class PrefetchingReader:
    """Reads the documents of all sources ahead in threads, in order.

    When the `with` block ends, reading has stopped and every thread has ended.

        with PrefetchingReader(sources, reading, options) as reader:
            reader.begin(Cursor())
            ...  # work that takes a while, such as loading a tokenizer
            for batch in reader.batches(Cursor()): ...
    """

    def __init__(
        self, sources: list[Source], reading: ReadOptions, options: PrepareOptions
    ) -> None:
        """Read `sources` with the options `reading`."""
        self.sources = sources
        self.reading = reading
        self.documents = Documents(sources, reading, options)
        self._options = options
        self._threads = min(_MOST_DECODERS, thread_count(options.threads))
        self._stages = ThreadedPipeline()
        self._begun: tuple[Cursor, Iterator[Decoded]] | None = None

    @property
    def size(self) -> int | None:
        """The position of the last cursor; None if it is not known."""
        sizes = [source.size for source in self.sources]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def begin(self, start: Cursor) -> None:
        """Start to read ahead from `start`; `batches` raises the errors of reading."""
        decoded = self._stages.map(
            self.documents.decode,
            self.documents.pieces(start),
            threads=self._threads,
            depth=_TEXTS_AHEAD,
        )
        self._begun = start, decoded

    def batches(self, start: Cursor, seen: Deduplication | None = None) -> Iterator[DocumentBatch]:
        """Yield the documents from `start` on, where reading began; see `Documents.batches`."""
        if self._begun is None:
            self.begin(start)
        begun, decoded = self._begun or (start, iter(()))
        if begun != start:
            raise ValueError(f"reading began at {begun}, not at {start}")
        return self.documents.batches(decoded, start, seen)

    def rewind(self) -> None:
        """Begin anew: after all batches were read, they can be read once more."""
        self._stages.stop()
        self._stages = ThreadedPipeline()
        self.documents = Documents(self.sources, self.reading, self._options)
        self._begun = None

    def stop(self) -> None:
        """Stop reading, including every wait for data that may never come."""
        for source in self.sources:
            source.stop()
        self._stages.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
