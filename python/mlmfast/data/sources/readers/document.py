"""Plain documents: the whole text of a file is one document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from mlmfast.data.sources.base import Location, Piece
from mlmfast.data.sources.byte_streams.first_bytes import (
    HEAD_BYTES,
    SUFFIXES,
    archive_of,
    check_readable,
    compression_of,
)
from mlmfast.data.sources.byte_streams.streams import ByteStream, without_bom
from mlmfast.data.sources.group_column import refuse_group_column
from mlmfast.data.sources.readers.txt import unix_lines
from mlmfast.data.sources.readers.utf8 import checked_text
from mlmfast.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from mlmfast.data.sources.base import ReadOptions


_PACKED = tuple(SUFFIXES)


def read_document(
    stream: ByteStream, options: ReadOptions, location: Location | None = None
) -> Iterator[Piece]:
    r"""Yield the text of a file as one document.

    As in `datasets.load_dataset("text", sample_by="document")`, line ends become \n.
    """
    del location  # there is one piece
    refuse_group_column(stream.name, "document", options)
    document = text_of(stream)
    yield Piece(partial(decode_documents, [(stream.name, document)]), {}, stream.position)


def text_of(stream: ByteStream) -> bytes:
    """Return the text of a file, which is not yet known to be UTF-8."""
    return unix_lines(without_bom(stream.name, stream.read()))


def decode_documents(documents: Sequence[tuple[str, bytes]], options: ReadOptions) -> pa.Array:
    """Return (name, text) pairs as a LargeString array of the texts."""
    texts = pa.array([text for _, text in documents], pa.large_binary())
    return checked_text(texts, options, lambda row: documents[row][0])


def read_files(files: Sequence[str], options: ReadOptions) -> pa.Array:
    """Read files as documents.

    Raises:
        NotFoundError: A file is no longer there.
        InputError: A file is not text.
    """
    return decode_documents([(file, _file_text(file)) for file in files], options)


def _file_text(name: str) -> bytes:
    # No `Path`: making them takes longer than to read a small file.
    try:
        with open(name, "rb", buffering=0) as file:  # noqa: PTH123
            data = file.readall()
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {name!r} any more.") from None
    except OSError as error:
        raise InputError(f"{name!r} cannot be read: {error.strerror}.") from error
    head = data[:HEAD_BYTES]
    if name.lower().endswith(_PACKED) or compression_of(head) or archive_of(head):
        with ByteStream(name) as stream:  # unpacks it, or says why that cannot be
            return text_of(stream)
    check_readable(head, name)
    return unix_lines(without_bom(name, data))
