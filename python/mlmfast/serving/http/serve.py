"""`mlmfast serve`: bind, then serve in this process or in several that share the socket."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
from typing import TYPE_CHECKING

from mlmfast.errors import InputError
from mlmfast.serving.http.log import configure_logging
from mlmfast.serving.http.server import serve_process
from mlmfast.serving.http.workers import serve_workers

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlmfast.serving.http.settings import ServeSettings

logger = logging.getLogger("mlmfast.serve")

_BACKLOG = 2048


def serve(settings: ServeSettings, *, on_bound: Callable[[str], None]) -> int | None:
    """Serve until a signal comes, and answer the requests in hand before the end.

    Args:
        settings: the settings.
        on_bound: is called with the server's URL once its port is bound.

    Returns:
        The signal that ended it.

    Raises:
        InputError: the address cannot be bound.
        MlmfastError: a model cannot be loaded, or workers die again and again.
    """
    configure_logging(settings.log_format)
    with bind(settings.host, settings.port) as listening:
        on_bound(url_of(listening))
        if not settings.needs_key and not _is_loopback(listening):
            logger.warning(
                "everyone who reaches %s may use the models without a key: set --api-key-file or "
                "$MLMFAST_API_KEY, or listen on 127.0.0.1",
                settings.host,
            )
        if settings.workers > 1:
            return serve_workers(settings, listening)
        return serve_process(
            settings,
            listening,
            threads=settings.threads,
            reload_all=lambda: os.kill(os.getpid(), signal.SIGHUP),
        )


def bind(host: str, port: int) -> socket.socket:
    """Listen on an address.

    Raises:
        InputError: it cannot be bound.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        raise InputError(
            f"The server cannot listen on {host}:{port}: {error.strerror or error}. Choose another "
            "--host or --port."
        ) from error
    listening.setblocking(False)
    return listening


def _is_loopback(listening: socket.socket) -> bool:
    host = listening.getsockname()[0].partition("%")[0]  # without the zone of IPv6
    return ipaddress.ip_address(host).is_loopback


def url_of(listening: socket.socket) -> str:
    """Return the URL of a bound socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
