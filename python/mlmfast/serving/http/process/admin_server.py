"""Health and metrics on a port and a thread of their own, which no load on the models delays."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import uvicorn
from starlette.routing import Router

from mlmfast.serving.http.protocols import health

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from mlmfast.serving.http.protocols.health import Observed

# Probes and scrapers need few connections.
_MAX_CONNECTIONS = 256
_STOP_SECONDS = 5


class AdminServer:
    """Answers probes and scrapers, until it is left as a context manager."""

    def __init__(self, observed: Observed, sockets: Sequence[socket.socket]):
        self._sockets = list(sockets)
        self._server = uvicorn.Server(
            uvicorn.Config(
                Router(health.routes(observed), redirect_slashes=False),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=_MAX_CONNECTIONS,
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(target=self._run, name="mlmfast-admin", daemon=True)

    def __enter__(self) -> None:
        if self._sockets:
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        if self._sockets:
            self._server.should_exit = True
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        self._server.run(sockets=self._sockets)
