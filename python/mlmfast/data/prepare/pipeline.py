"""The one pass from text to shards, its stages overlapped, and its continuation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa

from mlmfast.data.arrow_numpy import arrow_numbers, text_bytes
from mlmfast.data.prepare.dedup import SEEN_FILE, ExactDedup
from mlmfast.data.prepare.documents import Counts, Cursor, Decoded, DocumentBatch, Documents
from mlmfast.data.prepare.report import counted
from mlmfast.data.prepare.shuffle import ExternalShuffle, Spilled, expected_text
from mlmfast.data.prepare.split import is_test_document
from mlmfast.runtime.cpu import thread_count
from mlmfast.runtime.pipeline import ThreadedPipeline

if TYPE_CHECKING:
    from mlmfast.data.prepare.checkpoint import Checkpoint, CheckpointFile
    from mlmfast.data.prepare.dedup import ExactDedup
    from mlmfast.data.prepare.options import PrepareOptions
    from mlmfast.data.prepare.split_writer import SplitWriter
    from mlmfast.data.sources.base import ReadOptions, Source
    from mlmfast.data.tokenization.encoder import TextEncoder
    from mlmfast.fs.staging import StagingDir


@contextmanager
def progress_bar(
    total: int | None, *, shown: bool, start: int = 0, what: str = "prepare"
) -> Iterator[Callable[[int | None], None]]:
    """Show how many bytes are done; yield the function that moves the bar to a position."""
    from tqdm import tqdm

    bar: Any
    with tqdm(
        total=total,
        initial=start,
        unit="B",
        unit_scale=True,
        desc=what,
        # None: no bar where standard error is no terminal.
        disable=None if shown else True,
    ) as bar:

        def advance(position: int | None) -> None:
            if position is not None:
                bar.update(position - bar.n)

        yield advance


logger = logging.getLogger("mlmfast.prepare")

# Batches of tokens that wait to be written: while a shard is written, the stages before it have
# room to go on.
_TOKENS_AHEAD = 8
_LANES = 4


class Pipeline:
    """Takes all documents from the sources to the writers of the splits."""

    def __init__(
        self,
        work: StagingDir,
        reader: PrefetchingReader,
        options: PrepareOptions,
        state: CheckpointFile,
    ) -> None:
        """Work in `work` with what has been opened and checked."""
        self._work = work
        self._reader = reader
        self._options = options
        self._state = state

    def run(
        self, encoder: TextEncoder, splits: dict[str, SplitWriter], progress: Checkpoint | None
    ) -> Counts:
        """Tokenize and write everything, from where `progress` says; return what was met."""
        seen = None
        if self._options.deduplicate is not None:
            seen = ExactDedup(self._work.root / SEEN_FILE)
        try:
            if self._options.shuffle_documents:
                return self._shuffled(encoder, splits, progress, seen)
            start = Cursor() if progress is None or progress.mark is None else progress.mark
            reader = self._reader
            # The reader is stopped first: the stages behind it may be waiting for it.
            with ThreadedPipeline() as overlap, reader, self._bar(reader.size, start) as advance:
                batches = reader.batches(start, seen)
                for mark in self._write(overlap, batches, encoder, splits):
                    advance(mark.position)
                if self._options.limit is None:
                    advance(reader.size)
            return reader.documents.counts
        finally:
            if seen is not None:
                seen.close()

    def _shuffled(
        self,
        encoder: TextEncoder,
        splits: dict[str, SplitWriter],
        progress: Checkpoint | None,
        seen: ExactDedup | None,
    ) -> Counts:
        reader = self._reader
        shuffle = ExternalShuffle(self._work.root / "shuffled", self._options.seed)
        start = Cursor() if progress is None or progress.mark is None else progress.mark
        spilled = None if progress is None else _usable(shuffle, progress.spilled, start)
        if progress is None or spilled is None:
            spilled = self._spill(shuffle, seen)
            mark = None if progress is None else progress.mark
            self._state.save(mark, reader.documents.counts, splits, spilled)
        else:
            reader.documents.counts = progress.counts
        with ThreadedPipeline() as overlap, self._bar(spilled.text_bytes, start) as advance:
            batches = shuffle.batches(spilled, start, reader.reading.batch_bytes)
            for mark in self._write(overlap, batches, encoder, splits, spilled):
                advance(mark.position)
        return reader.documents.counts

    def _spill(self, shuffle: ExternalShuffle, seen: ExactDedup | None) -> Spilled:
        """Take all documents to the shuffle's buckets."""
        reader = self._reader
        if seen is not None:
            seen.clear()
        with reader, self._bar(reader.size, Cursor(), "read") as advance:
            spilled = shuffle.spill(
                reader.batches(Cursor(), seen),
                expected_bytes=expected_text(reader.sources),
                advance=advance,
            )
            if self._options.limit is None:
                advance(reader.size)
        return spilled

    def _write(
        self,
        overlap: ThreadedPipeline,
        batches: Iterator[DocumentBatch],
        encoder: TextEncoder,
        splits: dict[str, SplitWriter],
        spilled: Spilled | None = None,
    ) -> Iterator[Cursor]:
        """Tokenize and write; yield the mark behind each batch that is done with."""
        lanes, _ = worker_layout(self._options)
        encoded = overlap.map(
            lambda batch: (batch, encoder.encode(batch.texts)),
            batches,
            threads=lanes,
            depth=max(_TOKENS_AHEAD, 2 * lanes),
        )
        for batch, tokens in encoded:
            before = sum(split.writer.shards for split in splits.values())
            for name, texts, lists in self._parts(batch, tokens):
                splits[name].add(lists, text_bytes=text_bytes(texts))
            if sum(split.writer.shards for split in splits.values()) > before:
                self._state.save(batch.mark, self._reader.documents.counts, splits, spilled)
            yield batch.mark

    def _parts(
        self, batch: DocumentBatch, tokens: pa.LargeListArray
    ) -> Iterator[tuple[str, pa.LargeStringArray, pa.LargeListArray]]:
        size, seed = self._options.test_size, self._options.seed
        if size is None:
            yield "train", batch.texts, tokens
            return
        test = is_test_document(batch.numbers, test_size=size, seed=seed)
        for name, wanted in (("train", ~test), ("test", test)):
            rows = arrow_numbers(np.flatnonzero(wanted))
            if len(rows):
                yield name, batch.texts.take(rows), tokens.take(rows)

    def _bar(
        self, total: int | None, start: Cursor, what: str = "prepare"
    ) -> AbstractContextManager[Callable[[int | None], None]]:
        return progress_bar(total, shown=self._options.progress, start=start.position, what=what)


def _usable(shuffle: ExternalShuffle, spilled: Spilled | None, start: Cursor) -> Spilled | None:
    """Return the buckets of an earlier run, or None where the text must be read once more."""
    damaged = None if spilled is None else shuffle.damaged(spilled, start)
    if damaged is None:
        return spilled
    logger.warning(
        "The shuffled documents that an earlier run left are damaged (%s is not what was written): "
        "reading the text once more.",
        damaged,
    )
    return None


def worker_layout(options: PrepareOptions) -> tuple[int, int]:
    """How many batches are tokenized at the same time, and by how many threads each.

    Threads that share a batch wait for each other at its end.
    """
    threads = thread_count(options.threads)
    if options.verify:
        return 1, threads  # texts are verified in the order of the calls
    lanes = max(min(threads, _LANES), threads // _LANES)
    return lanes, -(-threads // lanes)


def log_resume(progress: Checkpoint) -> None:
    """Say where a run begins that goes on after another one."""
    documents = sum(split["documents"] for split in progress.splits.values())
    tokens = sum(split["writer"]["tokens"] for split in progress.splits.values())
    logger.info(
        "Going on where an earlier run was cut off: %s with %s and %s are kept.",
        counted(progress.shards, "finished shard"),
        counted(documents, "document"),
        counted(tokens, "token"),
    )


# Pieces of text that are read and decoded ahead: what two threads read while a tokenizer is loaded.
_TEXTS_AHEAD = 8
_MOST_DECODERS = 4


class PrefetchingReader:
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
        self._overlap = ThreadedPipeline()
        self._begun: tuple[Cursor, Iterator[Decoded]] | None = None

    @property
    def size(self) -> int | None:
        """What marks' positions reach at the end; None where it is not known."""
        sizes = [source.size for source in self.sources]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def begin(self, start: Cursor) -> None:
        """Read ahead from `start` on; what goes wrong is raised where the batches are wanted."""
        decoded = self._overlap.map(
            self.documents.decode,
            self.documents.pieces(start),
            threads=self._threads,
            depth=_TEXTS_AHEAD,
        )
        self._begun = start, decoded

    def batches(self, start: Cursor, seen: ExactDedup | None = None) -> Iterator[DocumentBatch]:
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
