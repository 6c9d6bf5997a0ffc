"""Folders that fill in the course of work, and how large they are."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from mlmfast.doctor.facts import Cache
from mlmfast.fs.cache import cache_home


def look_at_caches(seconds: float = 5.0) -> tuple[Cache, ...]:
    """Measure the cache folders; counting each is given up after `seconds`."""
    return tuple(
        Cache(what=what, path=str(path), size=size, complete=complete)
        for what, path in _folders()
        for size, complete in [measure(path, seconds)]
    )


def _folders() -> list[tuple[str, Path]]:
    # As huggingface_hub and datasets look them up, which need not be installed or whole.
    general = cache_home()
    home = Path(os.environ.get("HF_HOME") or general / "huggingface")
    return [
        ("mlmfast", general / "mlmfast"),
        ("models of the Hub", Path(os.environ.get("HF_HUB_CACHE") or home / "hub")),
        ("datasets", Path(os.environ.get("HF_DATASETS_CACHE") or home / "datasets")),
    ]


def measure(folder: Path, seconds: float) -> tuple[int | None, bool]:
    """Bytes of the files in `folder` (None: no such folder), and whether all were counted."""
    if not folder.is_dir():
        return None, True
    until = time.monotonic() + seconds
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                found = os.lstat(os.path.join(place, name))  # noqa: PTH118  twice as fast as Path
            except OSError:
                continue
            if stat.S_ISREG(found.st_mode):  # a Hub cache's links point at files counted already
                size += found.st_size
        if time.monotonic() > until:
            return size, False
    return size, True
