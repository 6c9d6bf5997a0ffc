"""What lies at a URL: files with their sizes and versions."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError, NotFoundError
from mlmfast.fs.paths import is_stray_name
from mlmfast.fs.remote.faults import retried
from mlmfast.fs.remote.urls import file_system, is_web, shown, url_of, url_path

if TYPE_CHECKING:
    from pathlib import PurePosixPath

# What tells one version of a file from another, the surest first; file systems name it differently.
_VERSIONS = (
    *("ETag", "etag", "blob_id", "generation", "md5Hash"),
    *("LastModified", "last_modified", "Last-Modified", "updated", "mtime", "created"),
)


@dataclass(frozen=True)
class RemoteFile:
    """A file at a URL, as it was when it was looked up."""

    url: str
    size: int
    version: str
    """The name and the value of what changes with the content: an entity tag, or a time."""

    @property
    def name(self) -> str:
        """The URL without passwords and signatures."""
        return shown(self.url)

    @property
    def path(self) -> PurePosixPath:
        """The path in the URL, whose suffixes tell the format."""
        return url_path(self.url)

    def check_unchanged(self) -> None:
        """Raise InputError if another file lies at the URL now."""
        now = look_up(self.url)
        same_kind = now is not None and now.version.split("=")[0] == self.version.split("=")[0]
        if now is None or now.size != self.size or (same_kind and now.version != self.version):
            raise InputError(f"{self.name!r} was changed while it was read. Begin again.")


def look_up(url: str) -> RemoteFile | None:
    """Return the file at a URL; None if it is a folder.

    Raises:
        NotFoundError: There is nothing.
        InputError: It cannot be accessed.
    """
    system, path = file_system(url)
    found = retried(lambda: system.info(path), url)
    return None if found["type"] == "directory" else _described(url, found)


def is_url_pattern(url: str) -> bool:
    """Whether a URL is a pattern such as "s3://bucket/*.txt"; those of web servers never are."""
    return not is_web(url) and glob.has_magic(url)


def matching_files(url: str) -> list[RemoteFile]:
    """Return the files that match a pattern, sorted by their paths.

    Raises:
        NotFoundError: There is none.
        InputError: The files cannot be listed.
    """
    system, path = file_system(url)
    found = retried(lambda: system.glob(path, detail=True), url)
    if not (files := _files(url, system, found)):
        raise NotFoundError(f"No file matches {shown(url)!r}.")
    return files


def files_below(url: str) -> list[RemoteFile]:
    """Return the files in a folder and below it, sorted by their paths, without hidden ones.

    Raises:
        NotFoundError: There is none.
        InputError: The files cannot be listed.
    """
    system, path = file_system(url)
    found = retried(lambda: system.find(path, detail=True), url)
    prefix = len(path.rstrip("/")) + 1
    seen = {
        name: info
        for name, info in found.items()
        if not any(part.startswith(".") or is_stray_name(part) for part in name[prefix:].split("/"))
    }
    if not (files := _files(url, system, seen)):
        raise NotFoundError(f"There is no file in {shown(url)!r}.")
    return files


def _files(url: str, system: Any, found: dict[str, Any]) -> list[RemoteFile]:
    # Object stores list folders as empty files whose names end with a slash.
    return [
        _described(url_of(url, path, system), info)
        for path, info in sorted(found.items())
        if info["type"] == "file" and not path.endswith("/") and not info["name"].endswith("/")
    ]


def _described(url: str, info: dict[str, Any]) -> RemoteFile:
    if info.get("size") is None:
        raise InputError(
            f"The server does not tell the size of {shown(url)!r}, so that a broken connection "
            "could not be told from its end. Download the file first."
        )
    key = next((key for key in _VERSIONS if info.get(key)), None)
    return RemoteFile(url, int(info["size"]), f"{key}={_text(info[key])}" if key else "")


def _text(value: Any) -> str:
    """Return a tag or a time, which listings and look-ups may give as other types, as text."""
    return str(value.timestamp() if isinstance(value, datetime) else value)
