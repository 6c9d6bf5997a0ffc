"""FASTA: the sequences of proteins, DNA and RNA; every record is a document."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlmfast._core import FastaRecords
from mlmfast.data.sources.base import Location, Piece
from mlmfast.data.sources.byte_streams.streams import ByteStream, without_bom
from mlmfast.data.sources.group_column import refuse_group_column
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.data.sources.base import ReadOptions

_HEAD_BYTES = 4  # of a byte order mark


def read_fasta(
    stream: ByteStream, options: ReadOptions, location: Location | None = None
) -> Iterator[Piece]:
    """Yield the sequences of a FASTA file, without their headers.

    The lines of a sequence are joined without white space; lines that begin with ";" are comments.
    A record without a sequence is an empty document. With `options.fasta_chunk` a long record
    becomes several documents, and takes no more memory than one of them.

    Raises:
        InputError: The text is not FASTA.
    """
    refuse_group_column(stream.name, "fasta", options)
    location = location or {"offset": 0, "line": 1}
    offset = location["offset"]
    if offset:
        stream.skip(offset)
    if "stop" in location:
        stream.read_at_most(location["stop"] - offset)
    data = stream.read(max(options.batch_bytes, _HEAD_BYTES))
    if not offset:
        offset = len(data)
        data = without_bom(stream.name, data)
        offset -= len(data)
    records = FastaRecords(
        upper=options.fasta_case == "upper",
        chunk=options.fasta_chunk,
        offset=offset,
        line=location["line"],
        continues=location.get("continues", False),
    )
    while True:
        here = dict(zip(("offset", "line", "continues"), records.start, strict=True))
        try:
            offsets, values = records.feed(data) if data else records.finish()
        except ValueError as error:
            raise InputError(f"{stream.name}, {error}.") from None
        if len(offsets) > 1:
            yield Piece(partial(_documents, offsets, values), here, stream.position)
        if not data:
            return
        data = stream.read(options.batch_bytes)


def _documents(offsets: Any, values: Any, _options: ReadOptions) -> pa.Array:
    # The reader lets only ASCII pass.
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, buffers, 0)
