"""Folders of plain documents as a source: one file is one document."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mlmfast.data.sources.archives import HIDDEN
from mlmfast.data.sources.base import Location, Piece, ReadOptions
from mlmfast.data.sources.files import unpacked_size
from mlmfast.data.sources.formats import not_text
from mlmfast.data.sources.group_column import refuse_group_column
from mlmfast.data.sources.readers.document import read_files
from mlmfast.errors import InputError
from mlmfast.fs.paths import is_stray_name


class DocumentFiles:
    """Any number of files, each of them a document; they are read in the order given."""

    kind = "document"

    def __init__(self, name: str, files: Sequence[str]) -> None:
        """Read `files`, which messages call `name`."""
        self.name = name
        self.files = list(files)
        stats = [os.stat(file) for file in self.files]  # noqa: PTH116 - there may be very many
        self.sizes = np.array([stat.st_size for stat in stats], np.int64)
        self.size: int | None = int(self.sizes.sum())
        self.text_size: int | None = sum(
            unpacked_size(file, stat.st_size) for file, stat in zip(self.files, stats, strict=True)
        )
        self._times = np.array([stat.st_mtime_ns for stat in stats], np.int64)

    def pieces(self, options: ReadOptions, location: Location | None = None) -> Iterator[Piece]:
        """Yield the documents; the files are read when a piece is decoded."""
        refuse_group_column(self.name, self.kind, options)
        first = location["file"] if location else 0
        ends = np.cumsum(self.sizes)
        while first < len(self.files):
            before = int(ends[first - 1]) if first else 0
            stop = int(np.searchsorted(ends, before + options.batch_bytes, side="right"))
            stop = min(max(stop, first + 1), len(self.files), first + _MOST_FILES)
            part = partial(read_files, self.files[first:stop])
            yield Piece(part, {"file": first}, int(ends[stop - 1]))
            first = stop

    def parts(self, size: int) -> Iterator[DocumentFiles]:
        """Yield the files in sources of about `size` bytes, by absolute paths."""
        files = self._absolute()
        starts = np.flatnonzero(np.diff(np.cumsum(self.sizes) // size, prepend=-1))
        for start, stop in zip(starts, [*starts[1:], len(files)], strict=True):
            yield DocumentFiles(self.name, files[start:stop])

    def fingerprint(self) -> dict[str, Any] | None:
        """Return the names, sizes and modification times of all files as one checksum."""
        digest = hashlib.sha256(os.fsencode("\0".join(self._absolute())))
        digest.update(self.sizes.tobytes() + self._times.tobytes())
        return {
            "name": self.name,
            "kind": self.kind,
            "files": len(self.files),
            "sha256": digest.hexdigest(),
        }

    def _absolute(self) -> list[str]:
        here = Path.cwd()
        return [os.path.join(here, file) for file in self.files]  # noqa: PTH118

    def stop(self) -> None:
        """Do nothing: reading never blocks."""


# So that many small files are read in several threads, too.
_MOST_FILES = 1024


def open_documents(folder: Path) -> DocumentFiles:
    """Open all files in a folder and below it, except hidden ones.

    The files of a folder come before those of its subfolders, both in the order of their names.
    Links to folders are not followed.

    Raises:
        InputError: There are no files, or some are no text by their names.
    """
    files: list[str] = []
    kinds: dict[str, str] = {}  # the first file of each suffix
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(HIDDEN))
        for name in sorted(names):
            path = os.path.join(parent, name)  # noqa: PTH118 - there may be very many
            if name.startswith(HIDDEN) or is_stray_name(name) or not os.path.isfile(path):  # noqa: PTH113
                continue
            files.append(path)
            kinds.setdefault(".".join(name.lower().rsplit(".", 2)[1:]), path)
    if not files:
        raise InputError(f"There is no file in the folder {str(folder)!r}, or below it.")
    for file in kinds.values():
        what = not_text(Path(file))
        if what is not None:
            raise InputError(
                f"{file!r} is {what}. To leave it out, name the files to read, such as "
                f"'{folder}/**/*.txt'."
            )
    return DocumentFiles(str(folder), files)
