"""One pass from text to shards: read, decode, tokenize and write at the same time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlmfast.data.arrow_numpy import arrow_numbers, text_bytes
from mlmfast.data.prepare.checkpoint import NEAR_FOLDER
from mlmfast.data.prepare.reading.dedup import SEEN_FILE, Deduplication, ExactDedup
from mlmfast.data.prepare.reading.documents import Counts, Cursor, DocumentBatch
from mlmfast.data.prepare.report import counted
from mlmfast.data.prepare.shuffle import ExternalShuffle, Spilled, expected_text
from mlmfast.data.prepare.split import HoldOut
from mlmfast.runtime.cpu import thread_count
from mlmfast.runtime.pipeline import ThreadedPipeline

if TYPE_CHECKING:
    from mlmfast.data.prepare.checkpoint import Checkpoint, CheckpointFile
    from mlmfast.data.prepare.encoding import Encoder
    from mlmfast.data.prepare.near.spool import DocumentSpool
    from mlmfast.data.prepare.options import PrepareOptions
    from mlmfast.data.prepare.reading.prefetching import PrefetchingReader
    from mlmfast.data.prepare.split_writer import SplitWriter
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

# Batches of tokens in the queue of the writer, so that the other stages go on while a shard is
# written.
_TOKENS_AHEAD = 8
_LANES = 4


class Pipeline:
    """Tokenizes all documents of the sources and writes them to the splits."""

    def __init__(
        self,
        work: StagingDir,
        reader: PrefetchingReader,
        options: PrepareOptions,
        state: CheckpointFile,
        documents: int | None = None,
    ) -> None:
        """Work in the staging folder `work`; `documents` is how many there are, if known."""
        self._work = work
        self._reader = reader
        self._options = options
        self._state = state
        self._spool: DocumentSpool | None = None
        self._documents = documents
        self._hold_out: HoldOut | None = None

    def run(
        self, encoder: Encoder, splits: dict[str, SplitWriter], checkpoint: Checkpoint | None
    ) -> Counts:
        """Tokenize and write everything after `checkpoint`; return the counts of the documents."""
        seen = self._deduplication(splits, checkpoint)
        try:
            if self._options.shuffle_documents:
                return self._run_shuffled(encoder, splits, checkpoint, seen)
            self._hold_out = HoldOut.of(self._options, self._documents)
            start = _start_of(checkpoint)
            reader = self._reader
            # The reader is stopped first, since later stages may be waiting for it.
            with ThreadedPipeline() as stages, reader, self._bar(self._size, start) as advance:
                batches = self._batches(start, seen)
                for cursor in self._write(stages, batches, encoder, splits):
                    advance(cursor.position)
                if self._options.limit is None:
                    advance(self._size)
            return reader.documents.counts
        finally:
            if seen is not None:
                seen.close()

    def _deduplication(
        self, splits: dict[str, SplitWriter], checkpoint: Checkpoint | None
    ) -> Deduplication | None:
        """Open what leaves out duplicates; near ones are searched for in a pass of its own."""
        if self._options.deduplicate is None:
            return None
        if self._options.deduplicate == "exact":
            return ExactDedup(self._work.root / SEEN_FILE)
        from mlmfast.data.prepare.near.search import NearSearch
        from mlmfast.data.prepare.near.spool import DocumentSpool

        reader = self._reader
        search = NearSearch(
            self._work.root / NEAR_FOLDER,
            self._options,
            lambda near: self._state.save_near(near, splits),
        )
        state = None if checkpoint is None else checkpoint.near
        if any(source.fingerprint() is None for source in reader.sources):
            path = self._work.root / "documents.arrow"
            self._spool = DocumentSpool(path, groups=self._options.test_by is not None)
        start = Cursor() if state is None or state.cursor is None else state.cursor
        with self._bar(reader.size, start, "compare") as advance:
            near = search.run(reader, state, self._spool, advance)
            if self._options.limit is None:
                advance(reader.size)
        if self._spool is None:
            reader.rewind()
        return near

    def _batches(self, start: Cursor, seen: Deduplication | None) -> Iterator[DocumentBatch]:
        """Yield the documents to keep from `start` on."""
        if self._spool is None or seen is None:
            return self._reader.batches(start, seen)
        return self._spool.batches(seen, self._reader.documents.counts)

    @property
    def _size(self) -> int | None:
        """The position of the last of `_batches`; None if it is not known."""
        return self._reader.size if self._spool is None else self._spool.text_bytes

    def _run_shuffled(
        self,
        encoder: Encoder,
        splits: dict[str, SplitWriter],
        checkpoint: Checkpoint | None,
        seen: Deduplication | None,
    ) -> Counts:
        reader = self._reader
        shuffle = ExternalShuffle(self._work.root / "shuffled", self._options.seed)
        start = _start_of(checkpoint)
        spilled = None if checkpoint is None else _intact(shuffle, checkpoint.spilled, start)
        if checkpoint is None or spilled is None:
            spilled = self._spill(shuffle, seen)
            cursor = None if checkpoint is None else checkpoint.cursor
            self._state.save(cursor, reader.documents.counts, splits, spilled)
        else:
            reader.documents.counts = checkpoint.counts
        self._hold_out = HoldOut.of(self._options, spilled.read)
        with ThreadedPipeline() as stages, self._bar(spilled.text_bytes, start) as advance:
            batches = shuffle.batches(spilled, start, reader.reading.batch_bytes)
            for cursor in self._write(stages, batches, encoder, splits, spilled):
                advance(cursor.position)
        return reader.documents.counts

    def _spill(self, shuffle: ExternalShuffle, seen: Deduplication | None) -> Spilled:
        """Read all documents into the buckets of the shuffle."""
        reader = self._reader
        if seen is not None:
            seen.clear()
        with reader, self._bar(self._size, Cursor(), "read") as advance:
            spilled = shuffle.spill(
                self._batches(Cursor(), seen),
                expected_bytes=expected_text(reader.sources),
                advance=advance,
                read=lambda: reader.documents.read,
            )
            if self._options.limit is None:
                advance(self._size)
        return spilled

    def _write(
        self,
        stages: ThreadedPipeline,
        batches: Iterator[DocumentBatch],
        encoder: Encoder,
        splits: dict[str, SplitWriter],
        spilled: Spilled | None = None,
    ) -> Iterator[Cursor]:
        """Tokenize and write; yield the cursor after each batch that is done."""
        lanes, _ = worker_layout(self._options)
        encoded = stages.map(
            lambda batch: (batch, encoder.encode(batch.texts)),
            batches,
            threads=lanes,
            depth=max(_TOKENS_AHEAD, 2 * lanes),
        )
        for batch, tokens in encoded:
            before = sum(split.writer.shards for split in splits.values())
            for name, texts, lists in self._by_split(batch, tokens):
                splits[name].add(lists, text_bytes=text_bytes(texts))
            if sum(split.writer.shards for split in splits.values()) > before:
                self._state.save(batch.cursor, self._reader.documents.counts, splits, spilled)
            yield batch.cursor

    def _by_split(
        self, batch: DocumentBatch, tokens: pa.LargeListArray
    ) -> Iterator[tuple[str, pa.LargeStringArray, pa.LargeListArray]]:
        if self._hold_out is None:
            yield "train", batch.texts, tokens
            return
        test = self._hold_out.is_test(batch.numbers, batch.groups)
        for name, chosen in (("train", ~test), ("test", test)):
            rows = arrow_numbers(np.flatnonzero(chosen))
            if len(rows):
                yield name, batch.texts.take(rows), tokens.take(rows)

    def _bar(
        self, total: int | None, start: Cursor, what: str = "prepare"
    ) -> AbstractContextManager[Callable[[int | None], None]]:
        return progress_bar(total, shown=self._options.progress, start=start.position, what=what)


def _start_of(checkpoint: Checkpoint | None) -> Cursor:
    if checkpoint is None or checkpoint.cursor is None:
        return Cursor()
    return checkpoint.cursor


def _intact(shuffle: ExternalShuffle, spilled: Spilled | None, start: Cursor) -> Spilled | None:
    """Return the buckets of an earlier run, or None if the text must be read again."""
    damaged = None if spilled is None else shuffle.damaged(spilled, start)
    if damaged is None:
        return spilled
    logger.warning(
        "The shuffled documents of the earlier run are damaged (%s is not what was written): "
        "reading the text once more.",
        damaged,
    )
    return None


def worker_layout(options: PrepareOptions) -> tuple[int, int]:
    """Return how many batches are tokenized at the same time, and the threads of each.

    Threads that share a batch wait for each other at its end, so a few batches run at a time.
    """
    threads = thread_count(options.threads)
    if options.verify:
        return 1, threads  # texts are verified in the order of the calls
    lanes = max(min(threads, _LANES), threads // _LANES)
    return lanes, -(-threads // lanes)


def log_resume(checkpoint: Checkpoint) -> None:
    """Log what a resumed run keeps of the earlier one."""
    if not checkpoint.shards and checkpoint.near is not None:
        logger.info(
            "Resuming the earlier run: the near-duplicates' keys of %s are kept.",
            counted(checkpoint.near.documents, "document"),
        )
        return
    documents = sum(split["documents"] for split in checkpoint.splits.values())
    tokens = sum(split["writer"]["tokens"] for split in checkpoint.splits.values())
    logger.info(
        "Resuming the earlier run: %s with %s and %s are kept.",
        counted(checkpoint.shards, "finished shard"),
        counted(documents, "document"),
        counted(tokens, "token"),
    )
