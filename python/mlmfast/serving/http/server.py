"""One serving process: loads in the background, and answers the requests in hand when it stops."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import uvicorn

from mlmfast.errors import MlmfastError
from mlmfast.serving.http.app import build_app
from mlmfast.serving.http.grpc.server import start_grpc
from mlmfast.serving.http.middleware.connection import connections
from mlmfast.serving.http.service import Service

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from types import FrameType

    import grpc.aio

    from mlmfast.serving.http.settings import ServeSettings

logger = logging.getLogger("mlmfast.serve")

# Idle connections are kept longer than load balancers keep theirs: otherwise a balancer may send a
# request into a connection that is just being closed.
_KEEP_ALIVE_SECONDS = 75
# How long clients have to read the last responses.
LAST_SECONDS = 2


class Server(uvicorn.Server):
    """uvicorn, stopped in two steps: first it refuses new requests, then it ends.

    Attributes:
        failure: the error of loading the models, if there was one.
        stopped_by: the signal that stops it.
    """

    def __init__(self, service: Service):
        super().__init__(
            uvicorn.Config(
                build_app(service),
                http=connections(service),
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
        self._deadline = float("inf")
        self._grpc: grpc.aio.Server | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if (port := self._service.settings.grpc_port) is not None:
            self._grpc = await start_grpc(self._service, port)
        threading.Thread(target=self._load, name="mlmfast-load", daemon=True).start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
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
        service = self._service
        if service.draining and not self.should_exit:
            late = time.monotonic() >= self._deadline
            if late:
                logger.warning("%d requests were not answered in time", service.in_hand)
                service.models.abandon()
            self.should_exit = late or not service.in_hand
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
            return
        self.should_exit = True

    def _reload(self) -> None:
        threading.Thread(target=self._service.reload, name="mlmfast-reload", daemon=True).start()


def serve_process(
    settings: ServeSettings,
    listening: socket.socket,
    *,
    threads: int | None,
    reload_all: Callable[[], None],
) -> int | None:
    """Serve on a socket until a signal comes.

    Args:
        settings: the settings.
        listening: a bound socket, which other processes may share.
        threads: cores of this process.
        reload_all: reloads the models of all processes.

    Returns:
        The signal that ended it.

    Raises:
        MlmfastError: a model cannot be loaded.
    """
    server = Server(Service(settings, threads, reload_all))
    server.run(sockets=[listening])
    if server.failure:
        raise server.failure
    return server.stopped_by
