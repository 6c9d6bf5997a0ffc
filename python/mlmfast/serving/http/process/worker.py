"""One of several workers: a serving process that its parent watches."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from mlmfast.errors import MlmfastError
from mlmfast.serving.http.process.server import serve_process
from mlmfast.serving.http.service import Service
from mlmfast.serving.http.telemetry.log import configure_logging

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

    from mlmfast.serving.http.settings import ServeSettings
    from mlmfast.serving.http.sockets.listening import Listening

# Exit status of a worker that could not load its models; a new worker could not either.
NOT_LOADED = 3


class Life(ctypes.Structure):
    """What a worker and its parent know of each other, in memory that both share.

    Attributes:
        beat_at: when the worker's event loop last turned, by `time.monotonic`; 0: not yet.
        loads: how often it has loaded its models.
        drained: whether it is stopping, and has answered all requests in hand.
        all_stop: whether all workers stop, and not this one alone.
        may_end: whether it may end, once it is drained.
    """

    _fields_ = (
        ("beat_at", ctypes.c_double),
        ("loads", ctypes.c_int),
        ("drained", ctypes.c_int),
        ("all_stop", ctypes.c_int),
        ("may_end", ctypes.c_int),
    )


class _Parent:
    """The supervisor of a worker."""

    def __init__(self, life: Any):
        self._life = life

    def beat(self) -> None:
        self._life.beat_at = time.monotonic()

    def ready(self) -> None:
        self._life.loads += 1

    def reloading(self) -> None:
        """Do nothing: the parent has asked for it."""

    def stopping(self) -> bool:
        return bool(self._life.all_stop)

    def drained(self) -> bool:
        self._life.drained = 1
        parent = multiprocessing.parent_process()
        is_orphan = parent is not None and not parent.is_alive()
        return bool(self._life.may_end) or is_orphan


def run_worker(
    settings: ServeSettings,
    listening: Listening,
    number: int,
    threads: int,
    life: Any,
    failures: SimpleQueue[str],
    replaces: str | None,
) -> None:
    """Run one worker. Ctrl-C reaches all processes, and only the parent reacts to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    configure_logging(settings.log_format)
    threading.Thread(target=_end_with_parent, name="mlmfast-parent", daemon=True).start()
    service = Service(settings, threads, reload_all=lambda: os.kill(os.getppid(), signal.SIGHUP))
    if replaces:
        service.metrics.count_replacement(replaces)
    try:
        # Others answer while one is replaced: what waits for it is not refused meanwhile.
        serve_process(service, listening, _Parent(life), number, accepts_at_once=not replaces)
    except MlmfastError as error:
        failures.put(str(error))
        raise SystemExit(NOT_LOADED) from None


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
