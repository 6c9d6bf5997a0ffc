"""Cache folders and their sizes."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from mlmfast.doctor.facts import Cache
from mlmfast.fs.cache import cache_home


def probe_caches(seconds: float = 5.0) -> tuple[Cache, ...]:
    """Measure the cache folders, each for at most `seconds`."""
    return tuple(
        Cache(what=what, path=str(path), size=size, complete=complete)
        for what, path in _folders()
        for size, complete in [measure(path, seconds)]
    )


def _folders() -> list[tuple[str, Path]]:
    # As huggingface_hub and datasets find them; these may not be installed, or broken.
    general = cache_home()
    home = Path(os.environ.get("HF_HOME") or general / "huggingface")
    return [
        ("mlmfast", general / "mlmfast"),
        ("models of the Hub", Path(os.environ.get("HF_HUB_CACHE") or home / "hub")),
        ("datasets", Path(os.environ.get("HF_DATASETS_CACHE") or home / "datasets")),
    ]


def measure(folder: Path, seconds: float) -> tuple[int | None, bool]:
    """Return the bytes of the files in `folder` (None: no such folder), and if all were counted."""
    if not folder.is_dir():
        return None, True
    until = time.monotonic() + seconds
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                status = os.lstat(os.path.join(place, name))  # noqa: PTH118  twice as fast as Path
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):  # a Hub cache's links point at files counted already
                size += status.st_size
        if time.monotonic() > until:
            return size, False
    return size, True
