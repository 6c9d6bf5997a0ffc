"""The standard health service of gRPC, which needs no key."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mlmfast.serving.http.grpc.messages import SERVICE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mlmfast.serving.http.service import Service

# How often a watched state is looked at.
_WATCH_SECONDS = 0.5


class Health(health_pb2_grpc.HealthServicer):
    """Whether the server as a whole is ready; there are no other services.

    Args:
        service: has the state.
    """

    def __init__(self, service: Service):
        self._service = service

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 (gRPC's name)
        status = self._status(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no such service.")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(self, request: Any, _context: Any) -> AsyncIterator[Any]:  # noqa: N802
        told = None
        while True:
            status = self._status(request.service)
            if status is None:
                status = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
            if status != told:
                told = status
                yield health_pb2.HealthCheckResponse(status=status)
            await asyncio.sleep(_WATCH_SECONDS)

    def _status(self, name: str) -> Any:
        if name not in ("", SERVICE):
            return None
        response = health_pb2.HealthCheckResponse
        return response.SERVING if self._service.state == "ready" else response.NOT_SERVING
