"""The gRPC server of a process, in the event loop of its HTTP server."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

from mlmfast.errors import InputError

if TYPE_CHECKING:
    import grpc.aio

    from mlmfast.serving.http.service import Service

logger = logging.getLogger("mlmfast.serve")

_MAX_METADATA_BYTES = 64 << 10
# Calls at once, whatever their kind; each may hold a message.
_MAX_CALLS = 1024


async def start_grpc(service: Service, port: int) -> grpc.aio.Server:
    """Start to answer on a port of the server's address.

    Raises:
        InputError: the port cannot be bound.
    """
    import grpc.aio
    from grpc_health.v1 import health_pb2_grpc

    from mlmfast.serving.http.grpc.health import Health
    from mlmfast.serving.http.grpc.servicer import Servicer

    settings = service.settings
    _check_port(settings.host, port, shared=settings.workers > 1)
    server = grpc.aio.server(
        maximum_concurrent_rpcs=_MAX_CALLS,
        options=[
            ("grpc.max_receive_message_length", settings.max_body),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
            # Workers share the port; another server on it is an error.
            ("grpc.so_reuseport", int(settings.workers > 1)),
        ],
    )
    server.add_generic_rpc_handlers((Servicer(service).handler(),))
    health_pb2_grpc.add_HealthServicer_to_server(Health(service), server)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise _cannot_listen(settings.host, port, "gRPC cannot bind it") from error
    await server.start()
    logger.info("gRPC on %s:%d", host, bound, extra={"fields": {"grpc_port": bound}})
    return server


def _check_port(host: str, port: int, *, shared: bool) -> None:
    """Raise InputError for a port that cannot be bound.

    gRPC itself does not say why, and a process whose gRPC could not bind its port did not always
    end with grpcio 1.66.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if shared:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                one.bind(address)
    except OSError as error:
        raise _cannot_listen(host, port, error.strerror or str(error)) from error


def _cannot_listen(host: str, port: int, why: str) -> InputError:
    return InputError(
        f"The server cannot listen on {host}:{port} for gRPC: {why}. Choose another --grpc-port."
    )
