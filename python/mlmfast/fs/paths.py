"""Paths that users type."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from mlmfast.errors import InputError

_LONGEST_SHOWN = 80
# The path does not exist, which is reported when it is opened.
_ABSENT = {errno.ENOENT, errno.ENOTDIR}

# Of the Finder and Explorer; ._x holds a Mac's extra attributes of x, .nfs... is a file that was
# removed while it was open.
_STRAY = {".DS_Store", "Thumbs.db", "desktop.ini"}
_STRAY_BEGINNINGS = ("._", ".nfs")


def as_path(name: str | os.PathLike[str], *, home: bool = False) -> Path:
    """Return `name` as a path, which may not exist yet.

    Args:
        name: What the user typed.
        home: Whether to expand a leading `~`.

    Raises:
        InputError: The path cannot be looked up: it is too long, contains a NUL, names an unknown
            user's home folder, or is not accessible to this process.
    """
    path = Path(name)
    try:
        path = path.expanduser() if home else path
        path.stat()
    except RuntimeError as error:
        raise InputError(f"{_shown(path)} names the home folder of an unknown user.") from error
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _ABSENT:
            return path
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"{_shown(path)} cannot be looked for as a file or folder: {reason}."
        ) from error
    return path


def is_stray(path: Path) -> bool:
    """Return whether a file is one that operating systems leave in folders."""
    return is_stray_name(path.name) and not path.is_dir()


def is_stray_name(name: str) -> bool:
    """Return whether a file's name is one of those."""
    return name in _STRAY or name.startswith(_STRAY_BEGINNINGS)


def _shown(path: Path) -> str:
    """Return the name in quotes, shortened if it is very long."""
    name = str(path)
    if len(name) <= _LONGEST_SHOWN:
        return repr(name)
    half = _LONGEST_SHOWN // 2
    return f"{name[:half] + '...' + name[-half:]!r} ({len(name):,} characters)"
