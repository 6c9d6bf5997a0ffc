"""How many threads to use."""

from __future__ import annotations

import os

from mlmfast.errors import InputError


def thread_count(threads: int | None) -> int:
    """`threads`, or for None what the environment and the cores of this process suggest."""
    if threads is not None:
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise InputError(f"threads must be a whole number from 1 up, or None; got {threads!r}.")
        return threads
    if os.environ.get("TOKENIZERS_PARALLELISM", "").lower() in {"0", "false", "off", "no", "n"}:
        return 1
    wanted = os.environ.get("RAYON_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
