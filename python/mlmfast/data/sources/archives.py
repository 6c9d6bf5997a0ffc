"""Zip and tar archives, whose files are read in the order in which `datasets` reads them."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from mlmfast.data.sources.base import Location, Piece, ReadOptions
from mlmfast.data.sources.byte_streams.compression import damages
from mlmfast.data.sources.byte_streams.streams import ByteStream
from mlmfast.data.sources.files import file_fingerprint, file_size
from mlmfast.data.sources.formats import FORMATS, format_of, read_stream
from mlmfast.data.sources.group_column import refuse_group_column
from mlmfast.data.sources.readers.document import decode_documents, text_of
from mlmfast.errors import InputError, MlmfastError
from mlmfast.fs.remote.listing import RemoteFile

if TYPE_CHECKING:
    import tarfile
    import zipfile

logger = logging.getLogger(__name__)
_COPY_BYTES = 1 << 20


def is_archive(path: Path | RemoteFile) -> bool:
    """Whether a file is a zip or tar archive, compressed or not, according to its first bytes."""
    name = path if isinstance(path, RemoteFile) else str(path)
    with ByteStream(name, archive=True) as stream:
        return stream.archive is not None


class ArchiveSource:
    """The files of an archive, each read in the format that its name implies."""

    text_size: int | None = None

    def __init__(self, name: str | RemoteFile, kind: str | None) -> None:
        """Read the archive at `name`; if `kind` is given, all files are read in that format."""
        self.remote = name if isinstance(name, RemoteFile) else None
        """The archive, if it lies at a URL."""
        self.name = name.name if isinstance(name, RemoteFile) else name
        self.kind = kind
        self.size: int | None = file_size(name)
        self._stream: ByteStream | None = None

    def pieces(self, options: ReadOptions, location: Location | None = None) -> Iterator[Piece]:
        """Yield the documents of all files, sorted by name."""
        first = location["member"] if location else 0
        with _opened(self.remote or self.name) as archive:
            members = self._readable(archive.members())
            total = sum(member.size for member in members)
            before = sum(member.size for member in members[:first])
            if self.kind == "document":
                yield from self._documents(archive, members, first, options)
                return
            for number, member in enumerate(members[first:], first):
                inner = location["location"] if location and number == first else None
                with self._open(archive, member) as stream:
                    for piece in read_stream(stream, member.kind, options, inner):
                        read = before + min(piece.position, member.size)
                        position = (self.size or 0) * read // max(1, total)
                        here = {"member": number, "location": piece.location}
                        yield replace(piece, location=here, position=position)
                before += member.size

    def _documents(
        self, archive: _Zip | _Tar, members: list[_Member], first: int, options: ReadOptions
    ) -> Iterator[Piece]:
        """Yield whole files as documents, many in a piece."""
        refuse_group_column(self.name, "document", options)
        ends = list(accumulate(member.size for member in members))
        held: list[tuple[str, bytes]] = []
        size = 0
        for number, member in enumerate(members[first:], first):
            with self._open(archive, member) as stream:
                held.append((stream.name, text_of(stream)))
            size += len(held[-1][1])
            if size >= options.batch_bytes or number + 1 == len(members):
                here = {"member": number + 1 - len(held), "location": None}
                position = (self.size or 0) * ends[number] // max(1, ends[-1])
                yield Piece(partial(decode_documents, held), here, position)
                held, size = [], 0

    def streams(self) -> Iterator[tuple[ByteStream, str]]:
        """Yield the bytes of all files and their formats, in the order of their names."""
        with _opened(self.remote or self.name) as archive:
            for member in self._readable(archive.members()):
                with self._open(archive, member) as stream:
                    yield stream, member.kind

    def _open(self, archive: _Zip | _Tar, member: _Member) -> ByteStream:
        return ByteStream(f"{self.name}: {member.name}", archive.open(member))

    def _readable(self, members: list[_Member]) -> list[_Member]:
        """Return the files with a known format, in the order to read them."""
        for member in members:
            by_name = format_of(Path(member.name)) or format_of(Path(self.name))
            member.kind = self.kind or by_name or ""
        known = sorted((member for member in members if member.kind), key=_walk_order)
        unknown = [member.name for member in members if not member.kind]
        if not known:
            what = (
                f"the names of its files ({', '.join(unknown[:5])}) tell no format: use --format, "
                f"one of {', '.join(FORMATS)}"
                if unknown
                else "it holds no file"
            )
            raise InputError(f"There is no text in the archive {self.name!r}: {what}.")
        if unknown:
            logger.warning(
                "%s: left out %d of the archive's files, whose names tell no format: %s.",
                self.name,
                len(unknown),
                ", ".join(unknown[:5]) + (" ..." if len(unknown) > 5 else ""),
            )
        return known

    def fingerprint(self) -> dict[str, Any] | None:
        """Return the name, size and modification time, or version."""
        return file_fingerprint(self.remote or self.name, f"archive of {self.kind}")

    def stop(self) -> None:
        """Do nothing: reading never blocks."""


@dataclass
class _Member:
    name: str
    size: int
    entry: Any
    kind: str = ""


def _walk_order(member: _Member) -> list[tuple[bool, str]]:
    """Sort key for the order of `datasets`: the files of a folder before its subfolders."""
    *folders, name = PurePosixPath(member.name).parts
    return [*((True, folder) for folder in folders), (False, name)]


HIDDEN = (".", "__")
"""How the names of hidden files begin, and of what a Mac adds to archives."""


def _hidden(name: str) -> bool:
    return any(part.startswith(HIDDEN) for part in PurePosixPath(name).parts)


class _Zip:
    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file

    def members(self) -> list[_Member]:
        entries = [entry for entry in self._file.infolist() if not entry.is_dir()]
        return [
            _Member(entry.filename, entry.file_size, entry)
            for entry in entries
            if not _hidden(entry.filename)
        ]

    def open(self, member: _Member) -> Any:
        return self._file.open(member.entry)


class _Tar:
    def __init__(self, file: tarfile.TarFile) -> None:
        self._file = file

    def members(self) -> list[_Member]:
        entries = [entry for entry in self._file if entry.isfile()]
        return [
            _Member(entry.name, entry.size, entry) for entry in entries if not _hidden(entry.name)
        ]

    def open(self, member: _Member) -> Any:
        return self._file.extractfile(member.entry)


@contextmanager
def _opened(name: str | RemoteFile) -> Iterator[_Zip | _Tar]:
    """Open an archive.

    A compressed tar archive is decompressed into a temporary file: its files are read in another
    order than they are stored, which would otherwise decompress it again and again.
    """
    import tarfile
    import zipfile

    with ByteStream(name, archive=True) as stream, tempfile.TemporaryFile() as unpacked:
        try:
            if stream.archive == "zip":
                with zipfile.ZipFile(stream.path or stream.raw) as file:
                    yield _Zip(file)
            elif stream.compressed:
                while data := stream.read(_COPY_BYTES):
                    unpacked.write(data)
                unpacked.seek(0)
                with tarfile.open(fileobj=unpacked, mode="r:") as tar:
                    yield _Tar(tar)
            else:
                with _open_tar(stream) as tar:
                    yield _Tar(tar)
        except MlmfastError:
            raise
        except damages() as error:
            raise InputError(
                f"The archive {stream.name!r} cannot be read: {str(error).rstrip('.')}."
            ) from error


def _open_tar(stream: ByteStream) -> tarfile.TarFile:
    import tarfile

    if stream.path is not None:
        return tarfile.open(stream.path, mode="r:")
    return tarfile.open(fileobj=stream.raw, mode="r:")
