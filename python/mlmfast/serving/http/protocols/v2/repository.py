"""The model repository extension of the Open Inference Protocol: loading and unloading models.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.routing import Route

from mlmfast.errors import MlmfastError
from mlmfast.serving.http.errors import HTTPError
from mlmfast.serving.http.protocols.body import load_json
from mlmfast.serving.http.protocols.v2.inference import VERSION, repository_extension
from mlmfast.serving.http.responses import json_response

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from mlmfast.serving.http.service import Service


def routes(service: Service) -> list[Route]:
    """Return the routes of the extension."""

    async def index(_request: Request) -> Response:
        return json_response(
            [
                {
                    "name": model.name,
                    "version": VERSION,
                    "state": "READY" if model.ready else "UNAVAILABLE",
                }
                for model in service.models
            ]
        )

    async def load(request: Request) -> Response:
        if not service.settings.needs_key:
            raise HTTPError(
                403,
                "forbidden",
                "This route reloads models only with an API key; SIGHUP needs none.",
            )
        body = request.scope["body"].strip()
        if body and _parameters(body):
            raise HTTPError(
                400, "bad_request", "A model is loaded from the folder that the server was given."
            )
        served = service.models.get(request.path_params["model"])
        if service.settings.workers > 1:
            service.reload_all()
            return json_response({"reload": "begun", "workers": service.settings.workers})
        try:
            await asyncio.to_thread(served.load)
        except MlmfastError as error:
            raise HTTPError(500, "not_loaded", f"{served.name} was not loaded: {error}") from error
        return json_response({"reload": "done", "loads": served.loads})

    async def unload(request: Request) -> Response:
        if not repository_extension(service.settings):
            raise HTTPError(
                403,
                "forbidden",
                "Models are unloaded only with an API key, by a server of one process.",
            )
        served = service.models.get(request.path_params["model"])
        await asyncio.to_thread(served.unload)
        return json_response({"unloaded": served.name})

    return [
        Route("/v2/repository/index", index, methods=["POST"]),
        Route("/v2/repository/models/{model}/load", load, methods=["POST"]),
        Route("/v2/repository/models/{model}/unload", unload, methods=["POST"]),
    ]


def _parameters(body: bytes) -> object:
    """Return the parameters of a request to load a model."""
    content = load_json(body)
    return content.get("parameters") if isinstance(content, dict) else content
