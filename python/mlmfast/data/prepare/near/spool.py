"""Documents of a stream, kept on disk because they are read twice and the stream is read once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mlmfast.data.arrow_numpy import arrow_numbers, numpy_numbers, text_bytes
from mlmfast.data.prepare.reading.documents import Cursor, DocumentBatch

if TYPE_CHECKING:
    from mlmfast.data.prepare.reading.dedup import Deduplication
    from mlmfast.data.prepare.reading.documents import Counts

_FIELDS = [("number", pa.uint64()), ("text", pa.large_string())]
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


class DocumentSpool:
    """Writes documents to a file, compressed with lz4, and reads them again."""

    def __init__(self, path: Path, *, groups: bool) -> None:
        """Keep the file at `path`; `groups` says whether documents have groups."""
        self._path = path
        self._schema = pa.schema([*_FIELDS, *([("group", pa.uint64())] if groups else [])])
        self.text_bytes = 0
        """UTF-8 bytes of all documents."""

    def keep(self, batches: Iterator[DocumentBatch]) -> Iterator[DocumentBatch]:
        """Write the batches, and yield them."""
        with (
            pa.OSFile(str(self._path), "wb") as sink,
            pa.ipc.new_stream(sink, self._schema, options=_OPTIONS) as writer,
        ):
            for batch in batches:
                columns = [arrow_numbers(batch.numbers), batch.texts]
                if batch.groups is not None:
                    columns.append(arrow_numbers(batch.groups))
                writer.write_batch(pa.record_batch(columns, schema=self._schema))
                self.text_bytes += text_bytes(batch.texts)
                yield batch

    def batches(self, duplicates: Deduplication, counts: Counts) -> Iterator[DocumentBatch]:
        """Yield the documents without the duplicates, which are counted.

        The cursors tell the position in `text_bytes`, and nothing else.
        """
        position = 0
        with pa.OSFile(str(self._path), "rb") as source:
            for batch in pa.ipc.open_stream(source):
                numbers, texts = numpy_numbers(batch.column(0)), batch.column(1)
                position += text_bytes(texts)
                fresh = duplicates.fresh(texts, numbers)
                rows = np.flatnonzero(fresh)
                counts.duplicates += len(numbers) - len(rows)
                if len(rows):
                    groups = (
                        None if batch.num_columns == 2 else numpy_numbers(batch.column(2))[rows]
                    )
                    chosen = texts.take(arrow_numbers(rows))
                    cursor = Cursor(position=position)
                    yield DocumentBatch(chosen, numbers[rows], groups, cursor)
