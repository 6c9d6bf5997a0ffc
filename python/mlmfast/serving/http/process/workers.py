"""Several serving processes: started, replaced when they die or hang, stopped together."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import tempfile
import time
from collections import deque
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from prometheus_client.multiprocess import mark_process_dead

from mlmfast.errors import MlmfastError
from mlmfast.runtime.cpu import available_cores
from mlmfast.serving.http.process.admin_server import AdminServer
from mlmfast.serving.http.process.server import LAST_SECONDS
from mlmfast.serving.http.process.systemd import Systemd
from mlmfast.serving.http.process.worker import NOT_LOADED, Life, run_worker
from mlmfast.serving.http.telemetry.metrics import SHARED_FOLDER, text_of_workers

if TYPE_CHECKING:
    from multiprocessing.context import SpawnContext, SpawnProcess
    from multiprocessing.queues import SimpleQueue

    from mlmfast.serving.http.settings import ServeSettings
    from mlmfast.serving.http.sockets.listening import Listening

logger = logging.getLogger("mlmfast.serve")

# More deaths than this within so many seconds end the server.
_MAX_DEATHS = 5
_DEATH_SECONDS = 60.0
_POLL_SECONDS = 0.2
# A worker that still runs so long after its time to drain is killed.
_SPARE_SECONDS = 5.0
# A worker that shows no sign of life for so long gets no new connections.
_SILENT_SECONDS = 2.0
# After a pause of its own this long, the parent does not know whether the workers ran meanwhile.
_PAUSED_SECONDS = 1.0


@dataclass
class _Worker:
    number: int
    process: SpawnProcess
    life: Any  # a Life
    is_hung: bool = False

    def is_silent(self, seconds: float, awake_at: float) -> bool:
        """Whether it turned before, and not within these seconds, in which the parent ran too."""
        beat_at = self.life.beat_at
        return bool(beat_at) and time.monotonic() - max(beat_at, awake_at) > seconds


def serve_workers(settings: ServeSettings, listening: Listening) -> int | None:
    """Serve with `settings.workers` processes until a signal comes.

    A worker that dies or hangs is replaced; only the requests that it had in hand are lost. One
    that cannot load its models ends the server, and so do too many deaths in a short time.

    Returns:
        The signal that ended it.

    Raises:
        MlmfastError: a worker could not load its models, or workers died again and again.
    """
    with tempfile.TemporaryDirectory(prefix="mlmfast-metrics-") as folder:
        os.environ[SHARED_FOLDER] = folder
        try:
            return Workers(settings, listening).run()
        finally:
            del os.environ[SHARED_FOLDER]


class Workers:
    """The parent of the workers."""

    def __init__(self, settings: ServeSettings, listening: Listening):
        self._settings = settings
        self._listening = listening
        self._systemd = Systemd()
        self._context: SpawnContext = multiprocessing.get_context("spawn")
        self._failures: SimpleQueue[str] = self._context.SimpleQueue()
        self._workers: list[_Worker] = []
        self._steered: list[int] = []
        self._deaths: deque[float] = deque(maxlen=_MAX_DEATHS)
        self._stopped_by: int | None = None
        self._failure: MlmfastError | None = None
        self._kill_at = float("inf")
        self._polled_at = self._awake_at = time.monotonic()
        # What loads of each worker systemd waits for; None: for nothing.
        self._awaited: dict[int, int] | None = {}

    @property
    def state(self) -> str:
        """One of "loading", "ready" and "draining"; ready with one worker that is."""
        if self._stops:
            return "draining"
        return "ready" if self._able() else "loading"

    @property
    def _stops(self) -> bool:
        return self._stopped_by is not None or self._failure is not None

    @property
    def is_alive(self) -> bool:
        """Whether any worker has shown a sign of life within `worker_timeout`."""
        seconds = self._settings.worker_timeout
        return any(not each.is_silent(seconds, self._awake_at) for each in list(self._workers))

    def metrics_text(self) -> bytes:
        """Return the metrics of all workers in Prometheus' text format."""
        return text_of_workers()

    def run(self) -> int | None:
        """Serve until a signal comes, and return it."""
        handlers: dict[int, Any] = {
            signal.SIGINT: self._stop,
            signal.SIGTERM: self._stop,
            signal.SIGHUP: self._reload,
        }
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            for number in range(self._settings.workers):
                self._start(number)
            with AdminServer(self, self._listening.admin):
                while self._workers:
                    self._poll()
        finally:
            for worker in self._workers:
                worker.process.kill()
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._failure:
            raise self._failure
        return self._stopped_by

    def _start(self, number: int, replaces: str | None = None) -> None:
        threads = self._settings.threads or available_cores()
        each = max(1, threads // self._settings.workers)
        life = self._context.RawValue(Life)
        own = replace(self._listening, admin=[])
        process = self._context.Process(
            target=run_worker,
            args=(self._settings, own, number, each, life, self._failures, replaces),
            daemon=True,
        )
        process.start()
        self._workers.append(_Worker(number, process, life))

    def _poll(self) -> None:
        """Wait a moment for workers to end, and replace them or stop."""
        wait([worker.process.sentinel for worker in self._workers], _POLL_SECONDS)
        now = time.monotonic()
        if now - self._polled_at > _POLL_SECONDS + _PAUSED_SECONDS:
            self._awake_at = now
        self._polled_at = now
        for worker in [each for each in self._workers if each.process.exitcode is not None]:
            self._workers.remove(worker)
            mark_process_dead(worker.process.pid)
            if not self._stops:
                self._replace(worker)
        if now > self._kill_at:
            for worker in self._workers:
                worker.process.kill()
        self._end_together()
        self._kill_hung()
        self._steer()
        self._tell_systemd()

    def _end_together(self) -> None:
        """Let all workers end once each has answered its requests.

        Until then each refuses new ones: nobody would answer the connections that wait for one
        that has ended. A worker that stops alone is replaced, and need not wait.
        """
        if not self._stops:
            for worker in self._workers:
                worker.life.may_end = worker.life.drained
            return
        hung = [w for w in self._workers if w.is_silent(_SILENT_SECONDS, self._awake_at)]
        if all(worker.life.drained for worker in self._workers if worker not in hung):
            self._listening.refuse_new()
            for worker in self._workers:
                worker.life.may_end = 1

    def _kill_hung(self) -> None:
        for worker in self._workers:
            silent = worker.is_silent(self._settings.worker_timeout, self._awake_at)
            if silent and not worker.is_hung:
                worker.is_hung = True
                logger.error(
                    "worker %s has shown no sign of life for %g s; it is killed",
                    worker.process.pid,
                    self._settings.worker_timeout,
                )
                worker.process.kill()

    def _able(self) -> list[int]:
        """Return the numbers of the workers that answer."""
        return sorted(
            worker.number
            for worker in list(self._workers)
            if worker.life.loads
            and not worker.life.drained
            and not worker.is_silent(_SILENT_SECONDS, self._awake_at)
        )

    def _steer(self) -> None:
        """Give new connections to those workers that answer; to all, if there are none."""
        able = self._able() or list(range(self._settings.workers))
        if able != self._steered:
            self._steered = able
            self._listening.steer(able)

    def _tell_systemd(self) -> None:
        self._systemd.beat()
        if self._awaited is None or self._stopped_by is not None:
            return
        pending = [w for w in self._workers if w.life.loads <= self._awaited.get(w.number, 0)]
        if self._workers and not pending:
            self._awaited = None
            self._systemd.ready()

    def _replace(self, worker: _Worker) -> None:
        process = worker.process
        if process.exitcode == NOT_LOADED:
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
        if self._awaited is not None:
            self._awaited.pop(worker.number, None)
        self._start(worker.number, "hung" if worker.is_hung else "died")

    def _end(self, failure: MlmfastError) -> None:
        self._failure = failure
        self._stop(signal.SIGTERM, None)

    def _reload(self, number: int, _frame: object) -> None:
        if self._stopped_by is None:
            self._systemd.reloading()
            self._awaited = {worker.number: worker.life.loads for worker in self._workers}
        self._send(number)

    def _stop(self, number: int, _frame: object) -> None:
        if self._stopped_by is None:
            self._stopped_by = number
            self._systemd.stopping()
            self._kill_at = (
                time.monotonic() + self._settings.drain_seconds + LAST_SECONDS + _SPARE_SECONDS
            )
        for worker in self._workers:
            worker.life.all_stop = 1
        self._send(signal.SIGTERM)

    def _send(self, number: int) -> None:
        for worker in self._workers:
            if worker.process.pid and worker.process.exitcode is None:
                os.kill(worker.process.pid, number)
