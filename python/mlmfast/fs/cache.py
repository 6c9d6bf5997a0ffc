"""The user's cache folder: what mlmfast can make again, but not quickly."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def cache_home() -> Path:
    """Return the cache folder of all programs: `$XDG_CACHE_HOME`, or `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def cache_dir(kind: str, home: Path | str | None = None) -> Path:
    """Return the folder of one kind of cached content, which may not exist yet.

    Args:
        kind: "blocks", "exports", "opened", "stores", "tokenizers" or "uploads".
        home: the cache folder of all programs; None for `cache_home()`.
    """
    return Path(home or cache_home()) / "mlmfast" / kind


def digest(parts: Iterable[bytes]) -> str:
    """Return a name for content that depends on `parts`: 32 hexadecimal digits of their SHA-256.

    The parts are hashed as one string: put separators or lengths between parts that could run into
    each other.
    """
    sha256 = hashlib.sha256()
    for part in parts:
        sha256.update(part)
    return sha256.hexdigest()[:32]
