"""The one pass from text to shards, its stages overlapped, and its continuation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mlmfast.data.arrow_numpy import arrow_numbers, text_bytes
from mlmfast.data.overlap import Overlap
from mlmfast.data.prepare_bar import progress_bar
from mlmfast.data.prepare_documents import Batch, Counts, Documents, Mark
from mlmfast.data.prepare_options import counted
from mlmfast.data.prepare_shuffle import Shuffle, expected_text
from mlmfast.data.seen_texts import SeenFile
from mlmfast.data.splits import in_test
from mlmfast.data.threads import thread_count

if TYPE_CHECKING:
    from mlmfast.data.prepare_options import PrepareOptions
    from mlmfast.data.prepare_state import Progress, StateFile
    from mlmfast.data.resumable import Workplace
    from mlmfast.data.sources.base import ReadOptions, Source
    from mlmfast.data.split_writer import SplitWriter
    from mlmfast.data.text_encoder import TextEncoder

_LOG = logging.getLogger("mlmfast.prepare")

# Pieces of text that are read and decoded ahead, and batches of tokens that wait to be written:
# while a shard is written, the stages before it have room to go on.
_TEXTS_AHEAD = 4
_TOKENS_AHEAD = 8
_MOST_DECODERS = 4


class Pass:
    """Takes all documents from the sources to the writers of the splits."""

    def __init__(
        self,
        work: Workplace,
        sources: list[Source],
        reading: ReadOptions,
        options: PrepareOptions,
        state: StateFile,
    ) -> None:
        """Work in `work` with what has been opened and checked."""
        self._work = work
        self._sources = sources
        self._reading = reading
        self._options = options
        self._state = state

    def run(
        self, encoder: TextEncoder, splits: dict[str, SplitWriter], progress: Progress | None
    ) -> Counts:
        """Tokenize and write everything, from where `progress` says; return what was met."""
        seen = None
        if self._options.deduplicate is not None:
            seen = SeenFile(self._work.root / "seen.bin")
        try:
            if self._options.shuffle_documents:
                return self._shuffled(encoder, splits, progress, seen)
            start = Mark() if progress is None or progress.mark is None else progress.mark
            documents = self._documents(seen)
            with self._overlap() as overlap, self._bar(self._size(), start) as advance:
                for mark in self._write(
                    overlap, self._read(overlap, documents, start), encoder, splits, documents
                ):
                    advance(mark.position)
                if self._options.limit is None:
                    advance(self._size())
            return documents.counts
        finally:
            if seen is not None:
                seen.close()

    def _shuffled(
        self,
        encoder: TextEncoder,
        splits: dict[str, SplitWriter],
        progress: Progress | None,
        seen: SeenFile | None,
    ) -> Counts:
        shuffle = Shuffle(self._work.root / "shuffled", self._options.seed)
        documents = self._documents(seen)
        if progress is not None:
            documents.counts = progress.counts
            start = progress.mark or Mark()
        else:
            start = Mark()
            with self._overlap() as overlap, self._bar(self._size(), start, "read") as advance:
                read = self._read(overlap, documents, start)
                for mark in shuffle.spill(read, expected_bytes=expected_text(self._sources)):
                    advance(mark.position)
                if self._options.limit is None:
                    advance(self._size())
            self._state.save(None, documents.counts, splits)
        with self._overlap() as overlap, self._bar(shuffle.text_bytes, start) as advance:
            batches = shuffle.batches(start, self._reading.batch_bytes)
            for mark in self._write(overlap, batches, encoder, splits, documents):
                advance(mark.position)
        return documents.counts

    def _documents(self, seen: SeenFile | None) -> Documents:
        return Documents(self._sources, self._reading, self._options, seen)

    def _read(self, overlap: Overlap, documents: Documents, start: Mark) -> Iterator[Batch]:
        decoded = overlap.map(
            documents.decode,
            documents.pieces(start),
            threads=min(_MOST_DECODERS, thread_count(self._options.threads)),
            depth=_TEXTS_AHEAD,
        )
        return documents.batches(decoded, start)

    def _write(
        self,
        overlap: Overlap,
        batches: Iterator[Batch],
        encoder: TextEncoder,
        splits: dict[str, SplitWriter],
        documents: Documents,
    ) -> Iterator[Mark]:
        """Tokenize and write; yield the mark behind each batch that is done with."""
        encoded = ((batch, encoder.encode(batch.texts)) for batch in batches)
        for batch, tokens in overlap.ahead(encoded, depth=_TOKENS_AHEAD):
            before = sum(split.writer.shards for split in splits.values())
            for name, texts, lists in self._parts(batch, tokens):
                splits[name].add(lists, text_bytes=text_bytes(texts))
            if sum(split.writer.shards for split in splits.values()) > before:
                self._state.save(batch.mark, documents.counts, splits)
            yield batch.mark

    def _parts(
        self, batch: Batch, tokens: pa.LargeListArray
    ) -> Iterator[tuple[str, pa.LargeStringArray, pa.LargeListArray]]:
        size, seed = self._options.test_size, self._options.seed
        if size is None:
            yield "train", batch.texts, tokens
            return
        test = in_test(batch.numbers, test_size=size, seed=seed)
        for name, wanted in (("train", ~test), ("test", test)):
            rows = arrow_numbers(np.flatnonzero(wanted))
            if len(rows):
                yield name, batch.texts.take(rows), tokens.take(rows)

    def _size(self) -> int | None:
        sizes = [source.size for source in self._sources]
        return None if None in sizes else sum(size or 0 for size in sizes)

    @contextmanager
    def _overlap(self) -> Iterator[Overlap]:
        with Overlap() as overlap:
            try:
                yield overlap
            finally:
                for source in self._sources:
                    source.stop()

    def _bar(
        self, total: int | None, start: Mark, what: str = "prepare"
    ) -> AbstractContextManager[Callable[[int | None], None]]:
        return progress_bar(total, shown=self._options.progress, start=start.position, what=what)


def tell_what_is_kept(progress: Progress) -> None:
    """Say where a run begins that goes on after another one."""
    documents = sum(split["documents"] for split in progress.splits.values())
    tokens = sum(split["writer"]["tokens"] for split in progress.splits.values())
    _LOG.info(
        "Going on where an earlier run was cut off: %s with %s and %s are kept.",
        counted(progress.shards, "finished shard"),
        counted(documents, "document"),
        counted(tokens, "token"),
    )
