"""The threads that mlmfast has begun; tqdm and torch begin some of their own at any time."""

from __future__ import annotations

import threading


def our_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("mlmfast")}
