"""Operations: health, metrics and what the server is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

from mlmfast.serving.http.protocols import health
from mlmfast.serving.http.protocols.v1 import describe
from mlmfast.serving.http.responses import json_response

if TYPE_CHECKING:
    from starlette.requests import Request

    from mlmfast.serving.http.service import Service


def routes(service: Service) -> list[Route]:
    """Return the routes of operations, including those of the Open Inference Protocol."""

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
        *health.routes(service),
        Route("/info", info, methods=["GET"]),
    ]
