"""URLs of files, and the file systems that read them."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mlmfast.errors import InputError, MissingDependencyError, first_line

if TYPE_CHECKING:
    import os

# One letter is a drive of Windows.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_WEB = ("http", "https")
_WEB_URL = re.compile(r"https?://[^\s'\"]+", re.IGNORECASE)
# The package of each scheme, and the extra of mlmfast that installs it.
_PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), ("s3fs", "s3")),
    **dict.fromkeys(("gs", "gcs"), ("gcsfs", "gs")),
    **dict.fromkeys(("abfs", "abfss", "az"), ("adlfs", "abfs")),
    **dict.fromkeys(_WEB, ("aiohttp", "http")),
    "hf": ("huggingface_hub", "train"),
}


def is_url(name: str | os.PathLike[str] | object) -> bool:
    """Whether a name is a URL, such as "s3://bucket/corpus/a.jsonl", and not a path."""
    return isinstance(name, str) and _URL.match(name) is not None


def scheme_of(url: str) -> str:
    """Return the scheme of a URL, such as "s3"."""
    return url.partition("://")[0].lower()


def is_web(url: str) -> bool:
    """Whether a URL is one of a web server, which has no folders."""
    return scheme_of(url) in _WEB


def shown(url: str) -> str:
    """Return a URL without passwords and signatures, for messages, manifests and fingerprints."""
    if not is_web(url):
        return url
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl()


def redacted(text: str) -> str:
    """Return what a library says with the URLs in it as `shown` has them."""
    return _WEB_URL.sub(lambda found: shown(found[0]), text)


def url_path(url: str) -> PurePosixPath:
    """Return the path in a URL, whose suffixes tell a format."""
    return PurePosixPath(shown(url).split("://", 1)[1])


def file_system(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of a URL, and the URL's path there.

    It is looked up anew for each operation: fsspec keeps one for each process and thread, so that a
    forked process never shares connections with its parent.

    Raises:
        MissingDependencyError: The package that reads such URLs is not installed.
        InputError: No package reads such URLs.
    """
    scheme = scheme_of(url)
    package, extra = _PACKAGES.get(scheme, (None, None))
    try:
        from fsspec.core import url_to_fs

        if package is not None:
            import_module(package)
        # Listings that an earlier call kept would hide what has changed since.
        return url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        if package is None:
            raise MissingDependencyError(f"{shown(url)} cannot be read: {error}.") from error
        raise MissingDependencyError(
            f"{shown(url)} needs the package {package}: pip install {package}, or "
            f"'mlmfast[{extra}]'."
        ) from error
    except ValueError as error:
        raise InputError(
            f"{shown(url)} cannot be read ({first_line(error)}): mlmfast reads files, s3://, "
            "gs://, abfs://, hf://, https:// and what else fsspec knows."
        ) from error


def url_of(url: str, path: str, file_system: Any) -> str:
    """Return the URL of another path on the file system of `url`."""
    if _URL.match(path):
        return path
    scheme, _, rest = url.partition("://")
    root = f"{scheme}://{rest.partition('/')[0]}"
    inside = file_system._strip_protocol(root)  # noqa: SLF001 - the way that fsspec documents
    return root + path.removeprefix(inside)
