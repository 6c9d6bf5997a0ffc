"""The model repository extension of the Open Inference Protocol: loading and unloading models.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

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
        body = request.scope["body"].strip()
        parameters = _parameters(body) if body else None
        return json_response(await load_model(service, request.path_params["model"], parameters))

    async def unload(request: Request) -> Response:
        return json_response(await unload_model(service, request.path_params["model"]))

    return [
        Route("/v2/repository/index", index, methods=["POST"]),
        Route("/v2/repository/models/{model}/load", load, methods=["POST"]),
        Route("/v2/repository/models/{model}/unload", unload, methods=["POST"]),
    ]


async def load_model(service: Service, name: str, parameters: object) -> dict[str, Any]:
    """Load a model again, from its folder as it is now.

    Args:
        service: the models.
        name: that of a model.
        parameters: what the client asked for besides; anything but nothing is refused.

    Returns:
        What was done, or with several workers, what has begun.

    Raises:
        HTTPError: the server needs no key, so that anyone could ask; there are parameters; the
            folder cannot be opened, and the version before still answers.
    """
    if not service.settings.needs_key:
        raise HTTPError(
            403,
            "forbidden",
            "This route reloads models only with an API key; SIGHUP needs none.",
        )
    if parameters:
        raise HTTPError(
            400, "bad_request", "A model is loaded from the folder that the server was given."
        )
    served = service.models.get(name)
    if service.settings.workers > 1:
        service.reload_all()
        return {"reload": "begun", "workers": service.settings.workers}
    try:
        await asyncio.to_thread(served.load)
    except MlmfastError as error:
        raise HTTPError(500, "not_loaded", f"{served.name} was not loaded: {error}") from error
    return {"reload": "done", "loads": served.loads}


async def unload_model(service: Service, name: str) -> dict[str, Any]:
    """Unload a model once its requests in hand are answered.

    Raises:
        HTTPError: the server needs no key, or has several processes.
    """
    if not repository_extension(service.settings):
        raise HTTPError(
            403,
            "forbidden",
            "Models are unloaded only with an API key, by a server of one process.",
        )
    served = service.models.get(name)
    await asyncio.to_thread(served.unload)
    return {"unloaded": served.name}


def _parameters(body: bytes) -> object:
    """Return the parameters of a request to load a model."""
    content = load_json(body)
    return content.get("parameters") if isinstance(content, dict) else content
