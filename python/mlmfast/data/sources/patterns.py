"""Patterns such as "data/*.txt" that the shell did not expand."""

from __future__ import annotations

import glob
from pathlib import Path

from mlmfast.fs.paths import as_path


def is_pattern(name: str) -> bool:
    """Whether a name is a pattern and not the name of an existing file."""
    return glob.has_magic(name) and not as_path(name, home=True).exists()


def matches(pattern: str) -> list[Path]:
    """Return the files and folders that match a pattern, sorted.

    Existing parent folders whose names look like patterns, such as "[v1]", are taken literally.
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
