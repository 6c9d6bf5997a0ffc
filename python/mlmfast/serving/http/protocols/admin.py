"""Operations: health, metrics and what the server is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

from mlmfast.serving.http.protocols.v1 import describe
from mlmfast.serving.http.responses import json_response

if TYPE_CHECKING:
    from starlette.requests import Request

    from mlmfast.serving.http.service import Service

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def routes(service: Service) -> list[Route]:
    """Return the routes of operations, including those of the Open Inference Protocol."""

    async def health(_request: Request) -> Response:
        state = service.state
        return json_response({"status": state}, 200 if state == "ready" else 503)

    async def live(_request: Request) -> Response:
        return json_response({"live": True})

    async def ready(_request: Request) -> Response:
        is_ready = service.state == "ready"
        return json_response({"ready": is_ready}, 200 if is_ready else 503)

    async def metrics(_request: Request) -> Response:
        service.models.update_metrics()
        # With several workers, it reads the files of all of them.
        text = await asyncio.to_thread(service.metrics.text)
        return Response(text, media_type=_METRICS_TYPE)

    async def info(_request: Request) -> Response:
        from importlib.metadata import version

        settings = service.settings
        return json_response(
            {
                "name": "mlmfast",
                "version": version("mlmfast"),
                "state": service.state,
                "workers": settings.workers,
                "default_model": service.models.default,
                "models": [describe(model) for model in service.models],
                "limits": {
                    "max_texts": settings.max_texts,
                    "max_rows": settings.max_rows,
                    "max_passes": settings.max_passes,
                    "max_characters": settings.max_characters,
                    "max_body_bytes": settings.max_body,
                    "max_answer_bytes": settings.max_answer,
                    "max_queue": settings.max_queue,
                    "max_delay_ms": settings.max_delay_ms,
                    "request_timeout": settings.request_timeout,
                },
            }
        )

    return [
        Route("/health", health, methods=["GET"]),
        Route("/v2/health/live", live, methods=["GET"]),
        Route("/v2/health/ready", ready, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
        Route("/info", info, methods=["GET"]),
    ]
