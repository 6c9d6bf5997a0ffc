"""The stages that read and decode, in threads of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

from mlmfast.data.prepare.documents import Batch, Decoded, Documents, Mark
from mlmfast.runtime.cpu import thread_count
from mlmfast.runtime.pipeline import Overlap

if TYPE_CHECKING:
    from mlmfast.data.prepare.dedup import SeenFile
    from mlmfast.data.prepare.options import PrepareOptions
    from mlmfast.data.sources.base import ReadOptions, Source

# Pieces of text that are read and decoded ahead: what two threads read while a tokenizer is loaded.
_TEXTS_AHEAD = 8
_MOST_DECODERS = 4


class Reader:
    """Reads the documents of all sources ahead of those who want them, in order.

    When the `with` block ends, reading is stopped and every thread has ended.

        with Reader(sources, reading, options) as reader:
            reader.begin(Mark())
            ...  # what takes its time
            for batch in reader.batches(Mark()): ...
    """

    def __init__(
        self, sources: list[Source], reading: ReadOptions, options: PrepareOptions
    ) -> None:
        """Read `sources`, each as `reading` says."""
        self.sources = sources
        self.reading = reading
        self.documents = Documents(sources, reading, options)
        self._threads = min(_MOST_DECODERS, thread_count(options.threads))
        self._overlap = Overlap()
        self._begun: tuple[Mark, Iterator[Decoded]] | None = None

    @property
    def size(self) -> int | None:
        """What marks' positions reach at the end; None where it is not known."""
        sizes = [source.size for source in self.sources]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def begin(self, start: Mark) -> None:
        """Read ahead from `start` on; what goes wrong is raised where the batches are wanted."""
        decoded = self._overlap.map(
            self.documents.decode,
            self.documents.pieces(start),
            threads=self._threads,
            depth=_TEXTS_AHEAD,
        )
        self._begun = start, decoded

    def batches(self, start: Mark, seen: SeenFile | None = None) -> Iterator[Batch]:
        """Yield the documents that are wanted, from where reading began; see `Documents`."""
        if self._begun is None:
            self.begin(start)
        begun, decoded = self._begun or (start, iter(()))
        if begun != start:
            raise ValueError(f"reading began at {begun}, not at {start}")
        return self.documents.batches(decoded, start, seen)

    def stop(self) -> None:
        """End reading, and every wait for data that may never come."""
        for source in self.sources:
            source.stop()
        self._overlap.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
