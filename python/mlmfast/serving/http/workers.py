"""Several serving processes on one socket: started, restarted when they die, stopped together."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections import deque
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from prometheus_client.multiprocess import mark_process_dead

from mlmfast.errors import MlmfastError
from mlmfast.runtime.cpu import available_cores
from mlmfast.serving.http.log import configure_logging
from mlmfast.serving.http.metrics import SHARED_FOLDER
from mlmfast.serving.http.server import LAST_SECONDS, serve_process

if TYPE_CHECKING:
    import socket
    from multiprocessing.context import SpawnContext, SpawnProcess
    from multiprocessing.queues import SimpleQueue

    from mlmfast.serving.http.settings import ServeSettings

logger = logging.getLogger("mlmfast.serve")

# Exit status of a worker that could not load its models; a new worker could not either.
_NOT_LOADED = 3
# More deaths than this within so many seconds end the server.
_MAX_DEATHS = 5
_DEATH_SECONDS = 60.0
_POLL_SECONDS = 0.2
# A worker that still runs so long after its time to drain is killed.
_SPARE_SECONDS = 5.0


def serve_workers(settings: ServeSettings, listening: socket.socket) -> int | None:
    """Serve with `settings.workers` processes until a signal comes.

    A worker that dies is replaced; only the requests that it had in hand are lost. One that cannot
    load its models ends the server, and so do too many deaths in a short time.

    Returns:
        The signal that ended it.

    Raises:
        MlmfastError: a worker could not load its models, or workers died again and again.
    """
    with tempfile.TemporaryDirectory(prefix="mlmfast-metrics-") as folder:
        os.environ[SHARED_FOLDER] = folder
        try:
            return _Workers(settings, listening).run()
        finally:
            del os.environ[SHARED_FOLDER]


class _Workers:
    def __init__(self, settings: ServeSettings, listening: socket.socket):
        self._settings = settings
        self._listening = listening
        self._context: SpawnContext = multiprocessing.get_context("spawn")
        self._failures: SimpleQueue[str] = self._context.SimpleQueue()
        self._processes: list[SpawnProcess] = []
        self._deaths: deque[float] = deque(maxlen=_MAX_DEATHS)
        self._stopped_by: int | None = None
        self._failure: MlmfastError | None = None
        self._kill_at = float("inf")

    def run(self) -> int | None:
        handlers: dict[int, Any] = {
            signal.SIGINT: self._stop,
            signal.SIGTERM: self._stop,
            signal.SIGHUP: lambda _signal, _frame: self._send(signal.SIGHUP),
        }
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            for _ in range(self._settings.workers):
                self._start_worker()
            while self._processes:
                self._poll()
        finally:
            for process in self._processes:
                process.kill()
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._failure:
            raise self._failure
        return self._stopped_by

    def _start_worker(self) -> None:
        threads = self._settings.threads or available_cores()
        each = max(1, threads // self._settings.workers)
        process = self._context.Process(
            target=_work, args=(self._settings, self._listening, each, self._failures), daemon=True
        )
        process.start()
        self._processes.append(process)

    def _poll(self) -> None:
        """Wait a moment for workers to end, and replace them or stop."""
        wait([process.sentinel for process in self._processes], _POLL_SECONDS)
        for process in [process for process in self._processes if process.exitcode is not None]:
            self._processes.remove(process)
            mark_process_dead(process.pid)
            if self._stopped_by is None and self._failure is None:
                self._replace(process)
        if time.monotonic() > self._kill_at:
            for process in self._processes:
                process.kill()

    def _replace(self, process: SpawnProcess) -> None:
        if process.exitcode == _NOT_LOADED:
            reason = self._failures.get() if not self._failures.empty() else "its log says why"
            self._end(MlmfastError(reason))
            return
        logger.error("worker %s ended with %s; it is replaced", process.pid, process.exitcode)
        now = time.monotonic()
        if len(self._deaths) == _MAX_DEATHS and now - self._deaths[0] < _DEATH_SECONDS:
            self._end(
                MlmfastError(
                    f"Workers died {_MAX_DEATHS + 1} times within {_DEATH_SECONDS:g} s, the last "
                    f"with {process.exitcode} (-9 is often the lack of memory: each worker holds "
                    "the models for itself; try fewer --workers)."
                )
            )
            return
        self._deaths.append(now)
        self._start_worker()

    def _end(self, failure: MlmfastError) -> None:
        self._failure = failure
        self._stop(signal.SIGTERM, None)

    def _stop(self, number: int, _frame: object) -> None:
        if self._stopped_by is None:
            self._stopped_by = number
            self._kill_at = (
                time.monotonic() + self._settings.drain_seconds + LAST_SECONDS + _SPARE_SECONDS
            )
        self._send(signal.SIGTERM)

    def _send(self, number: int) -> None:
        for process in self._processes:
            if process.pid and process.exitcode is None:
                os.kill(process.pid, number)


def _work(
    settings: ServeSettings, listening: socket.socket, threads: int, failures: SimpleQueue[str]
) -> None:
    """Run one worker. Ctrl-C reaches all processes, and only the parent reacts to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    configure_logging(settings.log_format)
    threading.Thread(target=_end_with_parent, name="mlmfast-parent", daemon=True).start()
    try:
        serve_process(
            settings,
            listening,
            threads=threads,
            reload_all=lambda: os.kill(os.getppid(), signal.SIGHUP),
        )
    except MlmfastError as error:
        failures.put(str(error))
        raise SystemExit(_NOT_LOADED) from None


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
