"""Health and metrics, for one process or for several workers together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from starlette.responses import Response
from starlette.routing import Route

from mlmfast.serving.http.responses import json_response

if TYPE_CHECKING:
    from starlette.requests import Request

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Observed(Protocol):
    """What probes and scrapers ask about."""

    @property
    def state(self) -> str:
        """One of "loading", "ready" and "draining"."""

    @property
    def is_alive(self) -> bool:
        """Whether it has shown a sign of life within `worker_timeout`."""

    def metrics_text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""


def routes(observed: Observed) -> list[Route]:
    """Return the routes of health and metrics."""

    async def health(_request: Request) -> Response:
        state = observed.state if observed.is_alive else "hung"
        return json_response({"status": state}, 200 if state == "ready" else 503)

    async def live(_request: Request) -> Response:
        is_alive = observed.is_alive
        return json_response({"live": is_alive}, 200 if is_alive else 503)

    async def ready(_request: Request) -> Response:
        is_ready = observed.state == "ready" and observed.is_alive
        return json_response({"ready": is_ready}, 200 if is_ready else 503)

    async def metrics(_request: Request) -> Response:
        # With several workers, it reads the files of all of them.
        text = await asyncio.to_thread(observed.metrics_text)
        return Response(text, media_type=_METRICS_TYPE)

    return [
        Route("/health", health, methods=["GET"]),
        Route("/v2/health/live", live, methods=["GET"]),
        Route("/v2/health/ready", ready, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]
