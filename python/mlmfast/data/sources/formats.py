"""The formats of text files: detecting them by name, and their readers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import TYPE_CHECKING

from mlmfast.data.sources.byte_streams.first_bytes import SUFFIXES
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.data.sources.base import Location, Piece, ReadOptions
    from mlmfast.data.sources.byte_streams.streams import ByteStream

FORMATS = ("txt", "jsonl", "csv", "tsv", "parquet", "arrow", "fasta", "document", "webdataset")
WITHOUT_COLUMNS = ("txt", "fasta", "document")
"""The formats of which a document is a line, a file or a sequence, not a column's value."""
ARCHIVED = ("webdataset",)
"""The formats that are archives themselves."""
_ARCHIVES = {".zip", ".tar", ".tgz", ".tbz2", ".txz"}
_BY_SUFFIX = {
    ".txt": "txt",
    ".text": "txt",
    ".md": "txt",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    **dict.fromkeys((".fasta", ".fa", ".faa", ".fna", ".ffn", ".frn"), "fasta"),
}


def format_of(path: PurePath) -> str | None:
    """Return the format that a file's name implies, compressed or not; None if it implies none."""
    for suffixes in (SUFFIXES, _ARCHIVES):
        path = path.with_suffix("") if path.suffix.lower() in suffixes else path
    return _BY_SUFFIX.get(path.suffix.lower())


_EXTRACT = "take the text out of it first, for example with"
_NOT_TEXT = {
    **dict.fromkeys((".html", ".htm", ".xhtml"), f"HTML: {_EXTRACT} trafilatura"),
    ".warc": f"a web archive: {_EXTRACT} trafilatura, or datatrove for many",
    ".pdf": f"a PDF: {_EXTRACT} docling or pdftotext",
    **dict.fromkeys(
        (".doc", ".docx", ".epub", ".odt", ".ppt", ".pptx", ".rtf"),
        f"a document of an office program: {_EXTRACT} docling or pandoc",
    ),
}


def is_archive_name(path: PurePath) -> bool:
    """Whether a file is an archive by its name, compressed or not."""
    return any(suffix.lower() in _ARCHIVES for suffix in path.suffixes[-2:])


def not_text(path: PurePath) -> str | None:
    """Return what a file is by its name, and which tool takes the text out; None if it is text."""
    path = path.with_suffix("") if path.suffix.lower() in SUFFIXES else path
    return _NOT_TEXT.get(path.suffix.lower())


def known_format(path: PurePath, name: str) -> str:
    """Return the format that a file's name implies; messages call the file `name`.

    Raises:
        InputError: It implies none.
    """
    kind = format_of(path)
    if kind is not None:
        return kind
    what = not_text(path)
    if what is not None:
        raise InputError(f"{name!r} is {what}.")
    raise InputError(
        f"The name of {name!r} does not tell its format: use --format, one of {', '.join(FORMATS)}."
    )


def read_stream(
    stream: ByteStream, kind: str, options: ReadOptions, location: Location | None = None
) -> Iterator[Piece]:
    """Yield the documents of a file of format `kind`, from `location` on."""
    from mlmfast.data.sources.readers.columnar import read_arrow, read_parquet
    from mlmfast.data.sources.readers.csv import read_csv
    from mlmfast.data.sources.readers.document import read_document
    from mlmfast.data.sources.readers.fasta import read_fasta
    from mlmfast.data.sources.readers.jsonl import read_jsonl
    from mlmfast.data.sources.readers.txt import read_lines
    from mlmfast.data.sources.readers.webdataset import read_webdataset

    if kind == "txt":
        return read_lines(stream, options, location)
    if kind == "document":
        return read_document(stream, options, location)
    if kind == "webdataset":
        return read_webdataset(stream, options, location)
    if kind == "jsonl":
        return read_jsonl(stream, options, location)
    if kind in {"csv", "tsv"}:
        return read_csv(stream, options, location, delimiter="\t" if kind == "tsv" else ",")
    if kind == "fasta":
        return read_fasta(stream, options, location)
    if kind == "parquet":
        return read_parquet(stream, options, location)
    return read_arrow(stream, options, location)
