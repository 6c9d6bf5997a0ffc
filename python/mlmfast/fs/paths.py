"""Names that users type, as paths."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from mlmfast.errors import InputError

_LONGEST_SHOWN = 80
# Nothing is there: whoever opens the path says so, and what is missing.
_ABSENT = {errno.ENOENT, errno.ENOTDIR}

# Of the Finder and Explorer; ._x holds a Mac's extra attributes of x, .nfs... is a file that was
# removed while it was open.
_STRAY = {".DS_Store", "Thumbs.db", "desktop.ini"}
_STRAY_BEGINNINGS = ("._", ".nfs")


def as_path(name: str | os.PathLike[str], *, home: bool = False) -> Path:
    """Return `name` as a path, of something that is there or may come to be.

    Args:
        name: What the user typed.
        home: Whether a `~` in front stands for a home folder.

    Raises:
        InputError: The system cannot look for it: it is too long, holds a NUL, is of a user who is
            not known, or lies where this process may not look.
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
    """Tell whether a file is one that an operating system left in a folder, unasked."""
    name = path.name
    return (name in _STRAY or name.startswith(_STRAY_BEGINNINGS)) and not path.is_dir()


def _shown(path: Path) -> str:
    """Return the name in quotes, shortened where it would fill the screen."""
    name = str(path)
    if len(name) <= _LONGEST_SHOWN:
        return repr(name)
    half = _LONGEST_SHOWN // 2
    return f"{name[:half] + '...' + name[-half:]!r} ({len(name):,} characters)"
