"""Counting the documents before the pass that tokenizes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmfast.data.prepare.pipeline import progress_bar
from mlmfast.data.prepare.reading.documents import Cursor
from mlmfast.data.prepare.reading.prefetching import PrefetchingReader
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.data.prepare.options import PrepareOptions
    from mlmfast.data.sources.base import ReadOptions, Source


def must_count(options: PrepareOptions) -> bool:
    """Whether the number of documents must be known first: to hold out the last ones.

    A shuffle counts them while it reads, and so do the units of a distributed run.
    """
    tail = options.test_size is not None and options.test_from == "tail"
    return tail and not options.shuffle_documents and options.engine == "local"


def check_countable(sources: list[Source], options: PrepareOptions) -> None:
    """Raise InputError if documents must be counted, but a source can be read only once."""
    for source in sources if must_count(options) else ():
        if source.fingerprint() is None:
            raise InputError(
                f"{source.name!r} can be read only once, but test_from='tail' reads it twice: the "
                "first time to count its documents. Write it to a file first, or use "
                "--shuffle-documents (shuffle_documents=True), which keeps the text on disk."
            )


def count_documents(
    sources: list[Source], reading: ReadOptions, options: PrepareOptions
) -> int | None:
    """Read all sources, and return how many documents there are, including those left out.

    None if nothing needs the number.
    """
    if not must_count(options):
        return None
    with (
        PrefetchingReader(sources, reading, options) as reader,
        progress_bar(reader.size, shown=options.progress, what="count") as advance,
    ):
        for batch in reader.batches(Cursor()):
            advance(batch.cursor.position)
        return reader.documents.read
