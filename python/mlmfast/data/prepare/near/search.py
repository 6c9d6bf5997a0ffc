"""The search for near-duplicates: keys of all documents in files, then clusters of equal keys."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlmfast._core import DocumentClusters, equal_keys
from mlmfast.data.prepare.near.duplicates import NearDuplicates, write_duplicates
from mlmfast.data.prepare.near.keys import DocumentKeys
from mlmfast.data.prepare.near.segments import BUCKETS, Segments
from mlmfast.data.prepare.near.state import NearState
from mlmfast.fs.checksums import FileStamp, sync_file, sync_folder
from mlmfast.runtime.cpu import thread_count
from mlmfast.runtime.pipeline import ThreadedPipeline

if TYPE_CHECKING:
    from mlmfast.data.prepare.near.spool import DocumentSpool
    from mlmfast.data.prepare.options import PrepareOptions
    from mlmfast.data.prepare.reading.documents import Cursor, DocumentBatch
    from mlmfast.data.prepare.reading.prefetching import PrefetchingReader

_DUPLICATES_FILE = "duplicates.bin"
# Buckets in memory at a time, each the 256th part of all keys.
_MOST_COMPARED = 4


class NearSearch:
    """Finds the documents that are near-duplicates of an earlier one.

    Documents are near-duplicates if MinHash gives them an equal key in any band; those that are
    connected so, directly or by way of others, form a cluster, of which the first is kept. The
    result depends neither on threads nor on how the text is read. On disk a document takes 12 bytes
    for each band (168 with 14), in memory 4 bytes, and up to 8 more while keys are compared.
    """

    def __init__(
        self, folder: Path, options: PrepareOptions, save: Callable[[NearState], None]
    ) -> None:
        """Keep files in `folder`; `save` is called with each state that a run can resume from."""
        self._folder = folder
        self._keys = DocumentKeys(options)
        self._threads = thread_count(options.threads)
        self._save = save

    def run(
        self,
        reader: PrefetchingReader,
        state: NearState | None,
        spool: DocumentSpool | None,
        advance: Callable[[int | None], None],
    ) -> NearDuplicates:
        """Read all documents, unless an earlier run did, and return the near-duplicates.

        Args:
            reader: Can begin anew afterwards; see `PrefetchingReader.rewind`.
            state: Where an earlier run ended.
            spool: Keeps the documents too.
            advance: Called with the position of each batch that has been read.

        Raises:
            InputError: A text cannot be read, or there are more than 2^32 documents.
        """
        if state is None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir()
            state = NearState()
        if state.cursor is not None:
            state = self._sign(reader, state, state.cursor, spool, advance)
        if state.duplicates is None:
            self._cluster(state)
        return NearDuplicates(self._folder / _DUPLICATES_FILE)

    def _sign(
        self,
        reader: PrefetchingReader,
        state: NearState,
        start: Cursor,
        spool: DocumentSpool | None,
        advance: Callable[[int | None], None],
    ) -> NearState:
        """Write the keys of all documents from `start` on."""
        segments = Segments(self._folder, state.segments)
        # The reader is stopped first, since the threads of a stage may be waiting for it.
        with ThreadedPipeline() as stages, _stopped_by_error(reader):
            batches = reader.batches(start)
            if spool is not None:
                batches = spool.keep(batches)
            keyed = stages.map(self._keyed, batches, threads=self._threads, depth=2 * self._threads)
            for batch, (records, bounds) in keyed:
                segments.held.add(records, bounds)
                if segments.held.full:
                    segments.write()
                    read = int(batch.numbers[-1]) + 1
                    state = replace(
                        state, cursor=batch.cursor, documents=read, segments=segments.files
                    )
                    self._save(state)
                advance(batch.cursor.position)
        segments.write()
        documents = max(reader.documents.read, state.documents)
        state = replace(state, cursor=None, documents=documents, segments=segments.files)
        self._save(state)
        return state

    def _keyed(self, batch: DocumentBatch) -> tuple[DocumentBatch, tuple[bytes, np.ndarray]]:
        return batch, self._keys.records(batch.texts, batch.numbers)

    def _cluster(self, state: NearState) -> None:
        """Write the numbers of the near-duplicates, and remove the keys."""
        segments = Segments(self._folder, state.segments)
        clusters = DocumentClusters(state.documents)
        with ThreadedPipeline() as stages:
            for pairs in stages.map(
                lambda bucket: equal_keys(segments.bucket(bucket)),
                range(BUCKETS),
                threads=min(self._threads, _MOST_COMPARED),
                depth=_MOST_COMPARED,
            ):
                clusters.join(pairs)
        path = self._folder / _DUPLICATES_FILE
        write_duplicates(path, clusters)
        sync_file(path)
        sync_folder(self._folder)
        self._save(replace(state, segments=(), duplicates=FileStamp.of(path)))
        segments.remove()


@contextmanager
def _stopped_by_error(reader: PrefetchingReader) -> Iterator[None]:
    try:
        yield
    except BaseException:
        reader.stop()
        raise
