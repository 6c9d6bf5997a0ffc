"""`mlmfast serve`: listen, then serve in this process or in several workers."""

from __future__ import annotations

import logging
import os
import signal
from typing import TYPE_CHECKING

from mlmfast.serving.http.process.admin_server import AdminServer
from mlmfast.serving.http.process.server import serve_process
from mlmfast.serving.http.process.systemd import Systemd
from mlmfast.serving.http.process.workers import serve_workers
from mlmfast.serving.http.service import Service
from mlmfast.serving.http.sockets.listening import listen
from mlmfast.serving.http.telemetry.log import configure_logging

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlmfast.serving.http.settings import ServeSettings
    from mlmfast.serving.http.sockets.listening import Listening

logger = logging.getLogger("mlmfast.serve")


def serve(settings: ServeSettings, *, on_bound: Callable[[str, str | None], None]) -> int | None:
    """Serve until a signal comes, and answer the requests in hand before the end.

    Args:
        settings: the settings.
        on_bound: is called with the server's URL, and that of its admin port if it has one, once
            they are bound.

    Returns:
        The signal that ended it.

    Raises:
        InputError: the address cannot be bound.
        MlmfastError: a model cannot be loaded, or workers die again and again.
    """
    configure_logging(settings.log_format)
    with listen(settings) as listening:
        on_bound(listening.url, listening.admin_url)
        if not settings.needs_key and listening.is_public:
            logger.warning(
                "everyone who reaches %s may use the models without a key: set --api-key-file or "
                "$MLMFAST_API_KEY, or listen on 127.0.0.1",
                listening.url,
            )
        if settings.workers > 1:
            return serve_workers(settings, listening)
        return _serve_alone(settings, listening)


def _serve_alone(settings: ServeSettings, listening: Listening) -> int | None:
    service = Service(
        settings, settings.threads, reload_all=lambda: os.kill(os.getpid(), signal.SIGHUP)
    )
    with AdminServer(service, listening.admin):
        return serve_process(service, listening, Systemd())
