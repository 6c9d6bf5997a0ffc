"""One serving process: loads in the background, and answers the requests in hand when it stops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

import uvicorn

from mlmfast.errors import MlmfastError
from mlmfast.serving.http.app import build_app
from mlmfast.serving.http.grpc.server import start_grpc
from mlmfast.serving.http.middleware.connection import connections
from mlmfast.serving.http.sockets.acceptor import Acceptor
from mlmfast.serving.http.sockets.descriptors import connections_allowed
from mlmfast.serving.http.sockets.unread import with_unread

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection, Iterator
    from types import FrameType

    import grpc.aio

    from mlmfast.serving.http.middleware.connection import Connection
    from mlmfast.serving.http.service import Service
    from mlmfast.serving.http.sockets.listening import Listening

logger = logging.getLogger("mlmfast.serve")

# Idle connections are kept longer than load balancers keep theirs: otherwise a balancer may send a
# request into a connection that is just being closed.
_KEEP_ALIVE_SECONDS = 75
# How long clients have to read the last responses.
LAST_SECONDS = 2
# uvicorn's time between two calls of `on_tick`.
_TICK_SECONDS = 0.1
# When no new connection may begin any more, those whose handshake has begun come within this time.
_HANDSHAKE_SECONDS = 0.3
# A new connection sends its first request within this time, if nothing is wrong with it.
_FIRST_REQUEST_SECONDS = 2.0


class Supervisor(Protocol):
    """Who watches over a serving process: systemd, or the parent of several workers."""

    def beat(self) -> None:
        """Hear that the event loop turns, ten times a second."""

    def ready(self) -> None:
        """Hear that the models are loaded, for the first time or again."""

    def reloading(self) -> None:
        """Hear that a reload begins."""

    def stopping(self) -> bool:
        """Hear that the process accepts no more requests; return whether all others stop too."""

    def drained(self) -> bool:
        """Hear that all requests in hand are answered; return whether the process may end."""


class Server(uvicorn.Server):
    """uvicorn, stopped in steps: it refuses new requests, then new connections, then it ends.

    Attributes:
        failure: the error of loading the models, if there was one.
        stopped_by: the signal that stops it.
    """

    def __init__(
        self,
        service: Service,
        listening: Listening,
        supervisor: Supervisor,
        worker: int | None = None,
        *,
        accepts_at_once: bool = True,
    ):
        allowed = connections_allowed(service.settings.max_connections)
        self._acceptor = Acceptor(allowed, service.metrics)
        super().__init__(
            uvicorn.Config(
                build_app(service),
                http=connections(service, self._acceptor),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=LAST_SECONDS,
            )
        )
        self.failure: MlmfastError | None = None
        self.stopped_by: int | None = None
        self._service = service
        self._listening = listening
        self._supervisor = supervisor
        self._worker = worker
        self._accepts_at_once = accepts_at_once
        self._deadline = float("inf")
        self._has_stopped = False
        self._is_late = False
        self._end_at: float | None = None
        self._grpc: grpc.aio.Server | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        self._acceptor.connections = self.server_state.connections  # type: ignore[assignment]
        self.servers = []
        self.started = True
        self._loop = asyncio.get_running_loop()
        if self._accepts_at_once:
            self._accept()
        if (port := self._service.settings.grpc_port) is not None:
            self._grpc = await start_grpc(self._service, port)
        threading.Thread(target=self._load, name="mlmfast-load", daemon=True).start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._acceptor.stop()
        if self._grpc:
            await self._grpc.stop(LAST_SECONDS)
        await super().shutdown(sockets)
        if self._service.traces:
            self._service.traces.close(LAST_SECONDS)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        service = self._service
        if service.draining:  # a second signal: stop at once
            self.should_exit = self.force_exit = True
            return
        self.stopped_by = sig
        self._deadline = time.monotonic() + service.settings.drain_seconds
        service.draining = True

    async def on_tick(self, counter: int) -> bool:
        service, now = self._service, time.monotonic()
        if counter:
            service.metrics.observe_loop_delay(max(0.0, now - service.beat_at - _TICK_SECONDS))
        service.beat_at = now
        self._supervisor.beat()
        if service.draining and not self.should_exit:
            self.should_exit = self._may_end(now)
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals, and restore their handlers at the end; no signal is raised again."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers: dict[int, Callable[[int, FrameType | None], Any]] = {
            signal.SIGTERM: self.handle_exit
        }
        if self._service.settings.workers == 1:  # else the parent process decides
            handlers[signal.SIGINT] = self.handle_exit
        if hasattr(signal, "SIGHUP"):
            handlers[signal.SIGHUP] = lambda _signal, _frame: self._reload()
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _accept(self) -> None:
        own = self._listening.of_worker(self._worker or 0)
        self._acceptor.start(own, self._make_connection)

    def _make_connection(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        made: asyncio.Protocol = kind(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    def _may_end(self, now: float) -> bool:
        """Take the next step towards the end; return whether it was the last."""
        if not self._has_stopped:
            self._has_stopped = True
            all_stop = self._supervisor.stopping()
            if self._listening.inherited:
                self._acceptor.stop()  # systemd keeps what waits for the next server
            elif all_stop:  # also what waits for another worker, which may hang
                self._acceptor.start(self._listening.sockets, self._make_connection)
        if now >= self._deadline and not self._is_late:
            self._is_late = True
            logger.warning("%d requests were not answered in time", self._service.in_hand)
            self._service.models.abandon()
        if not self._is_late and (self._service.in_hand or not self._supervisor.drained()):
            return False
        if self._end_at is None:
            if self._worker is None:  # else the parent process decides
                self._listening.refuse_new()
            self._end_at = now + _HANDSHAKE_SECONDS
        late = now >= self._end_at + LAST_SECONDS
        return now >= self._end_at and (late or not self._has_newcomers())

    def _has_newcomers(self) -> bool:
        """Whether connections are open with a request that is still to be refused."""
        if self._service.in_hand or self._acceptor.is_beginning:
            return True
        connections: Collection[Connection] = self.server_state.connections  # type: ignore[assignment]
        return bool(with_unread(connections)) or any(
            connection.awaits_first_request(_FIRST_REQUEST_SECONDS) for connection in connections
        )

    def _load(self) -> None:
        try:
            self._service.models.load()
        except MlmfastError as error:
            self.failure = error
        except Exception as error:
            logger.exception("Loading failed")
            self.failure = MlmfastError(f"The models could not be loaded: {error}")
        else:
            names = [source.name for source in self._service.settings.models]
            logger.info("ready", extra={"fields": {"models": names}})
            self._supervisor.ready()
            if not self._accepts_at_once:
                self._loop.call_soon_threadsafe(self._accept)
            return
        self.should_exit = True

    def _reload(self) -> None:
        def reload() -> None:
            self._supervisor.reloading()
            self._service.reload()
            self._supervisor.ready()

        threading.Thread(target=reload, name="mlmfast-reload", daemon=True).start()


def serve_process(
    service: Service,
    listening: Listening,
    supervisor: Supervisor,
    worker: int | None = None,
    *,
    accepts_at_once: bool = True,
) -> int | None:
    """Serve until a signal comes.

    Args:
        service: the models and the state.
        listening: bound sockets, which other processes may share.
        supervisor: who is told how it goes.
        worker: the number of this process among several workers, if there are several.
        accepts_at_once: whether to accept connections, and answer with 503, before the models are
            loaded; else they wait.

    Returns:
        The signal that ended it.

    Raises:
        MlmfastError: a model cannot be loaded.
    """
    server = Server(service, listening, supervisor, worker, accepts_at_once=accepts_at_once)
    server.run()
    if server.failure:
        raise server.failure
    return server.stopped_by
