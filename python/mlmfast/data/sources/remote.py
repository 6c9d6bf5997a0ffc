"""Text at URLs as sources: files, patterns and folders of object stores and web servers."""

from __future__ import annotations

from mlmfast.data.sources.archives import ArchiveSource, is_archive
from mlmfast.data.sources.files import FileSource
from mlmfast.data.sources.formats import ARCHIVED, format_of, is_archive_name, known_format
from mlmfast.errors import InputError
from mlmfast.fs.remote.listing import (
    RemoteFile,
    files_below,
    is_url_pattern,
    look_up,
    matching_files,
)
from mlmfast.fs.remote.urls import shown

# `mlmfast.data.store` is no layer below this one's.
_STORE_FILES = ("/mlmfast.json", "/train/mlmfast.json")


def open_url(url: str, kind: str | None) -> list[FileSource | ArchiveSource]:
    """Open the file at a URL, the files that match a pattern, or those in a folder and below it.

    Of a folder, those files are read whose names tell a format, or all of them with `kind`.

    Args:
        url: The URL, such as "s3://bucket/corpus/*.jsonl.zst".
        kind: The format of the files, one of FORMATS; None goes by their names.

    Raises:
        NotFoundError: There is no file.
        InputError: A file cannot be accessed, or its name tells no format.
        MissingDependencyError: The package that reads such URLs is not installed.
    """
    if is_url_pattern(url):
        return [_open_file(file, kind) for file in matching_files(url)]
    file = look_up(url)
    if file is not None:
        return [_open_file(file, kind)]
    files = files_below(url)
    if any(file.name.endswith(_STORE_FILES) for file in files):
        raise InputError(f"{shown(url)!r} is a block store already; prepare reads text.")
    read = [
        file
        for file in files
        if kind or format_of(file.path) is not None or is_archive_name(file.path)
    ]
    if not read:
        raise InputError(
            f"No name of a file in {shown(url)!r} tells its format: use --format, or name the "
            "files to read."
        )
    return [_open_file(file, kind) for file in read]


def _open_file(file: RemoteFile, kind: str | None) -> FileSource | ArchiveSource:
    # By its name: a look at the first bytes of each of many files takes long.
    if kind not in ARCHIVED and is_archive_name(file.path) and is_archive(file):
        return ArchiveSource(file, kind)
    return FileSource(file, kind or known_format(file.path, file.name))
