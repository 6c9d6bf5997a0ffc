"""Patterns such as "data/*.txt" that the shell left alone."""

from __future__ import annotations

import glob
from pathlib import Path

from mlmfast.fs.paths import as_path


def is_pattern(name: str) -> bool:
    """Whether a name is a pattern; a file that is called so goes first."""
    return glob.has_magic(name) and not as_path(name, home=True).exists()


def matches(pattern: str) -> list[Path]:
    """Return the files and folders that a pattern names, sorted.

    Folders on the way that are called like patterns, such as "[v1]", are taken by their names.
    """
    path = as_path(pattern, home=True)
    parts = list(path.parts)
    for number in range(len(parts)):
        if not Path(*parts[: number + 1]).exists():
            break
    else:
        number = len(parts)
    parts = [*map(glob.escape, parts[:number]), *parts[number:]]
    return sorted(map(Path, glob.glob(str(Path(*parts)), recursive=True)))  # noqa: PTH207 - absolute too
