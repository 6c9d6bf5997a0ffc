"""A file of any format, or standard input, as a source."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlmfast.data.sources.base import Piece, Place, ReadOptions
from mlmfast.data.sources.bytes import STDIN, ByteStream
from mlmfast.data.sources.columnar import read_arrow, read_parquet
from mlmfast.data.sources.csv import read_csv
from mlmfast.data.sources.jsonl import read_jsonl
from mlmfast.data.sources.lines import read_lines


class FileSource:
    """One file, or standard input."""

    def __init__(self, name: str, kind: str) -> None:
        """Read `name` as `kind`, one of FORMATS."""
        self.name = name
        self.kind = kind
        self.regular = name != STDIN and Path(name).is_file()
        """Whether it is a file that can be read again, not a pipe."""
        self.size: int | None = Path(name).stat().st_size if self.regular else None
        self._stream: ByteStream | None = None
        self._stopped = False

    def pieces(self, options: ReadOptions, place: Place | None = None) -> Iterator[Piece]:
        """Yield the documents of the file."""
        with ByteStream(self.name) as stream:
            self._stream = stream
            if self._stopped:
                stream.stop()
            if self.kind == "txt":
                yield from read_lines(stream, options, place)
            elif self.kind == "jsonl":
                yield from read_jsonl(stream, options, place)
            elif self.kind in {"csv", "tsv"}:
                delimiter = "\t" if self.kind == "tsv" else ","
                yield from read_csv(stream, options, place, delimiter=delimiter)
            elif self.kind == "parquet":
                yield from read_parquet(stream, options, place)
            else:
                yield from read_arrow(stream, options, place)
        self._stream = None

    def fingerprint(self) -> dict[str, Any] | None:
        """Name, size and time of the last change."""
        if not self.regular:
            return None
        path = Path(self.name)
        found = path.stat()
        return {
            "name": str(path.resolve()),
            "kind": self.kind,
            "size": found.st_size,
            "mtime_ns": found.st_mtime_ns,
        }

    def stop(self) -> None:
        """End a wait for a pipe."""
        self._stopped = True
        if self._stream is not None:
            self._stream.stop()
