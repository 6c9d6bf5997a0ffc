"""The Open Inference Protocol over HTTP, as `tritonclient.http` and KServe speak it.

`inference.py` says which inputs and outputs a model has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from pydantic import ValidationError
from starlette.responses import Response
from starlette.routing import Route

from mlmfast.serving.http.errors import HTTPError, bad_body
from mlmfast.serving.http.protocols.inference import (
    INPUTS,
    OUTPUTS,
    PLATFORM,
    VERSION,
    InferRequest,
    infer_call,
    model_metadata,
    output_tensors,
    requested_outputs,
    server_metadata,
)
from mlmfast.serving.http.responses import compressed, json_response

if TYPE_CHECKING:
    from starlette.requests import Request

    from mlmfast.serving.http.protocols.tensors import Tensor
    from mlmfast.serving.http.service import Service

_JSON_LENGTH = "inference-header-content-length"


def routes(service: Service) -> list[Route]:
    """Return this protocol's routes, except those for health and for loading models."""

    async def server(_request: Request) -> Response:
        return json_response(
            server_metadata(["binary_tensor_data", "model_repository", "model_configuration"])
        )

    async def model(request: Request) -> Response:
        return json_response(model_metadata(service.models.get(_model_name(request)).name))

    async def config(request: Request) -> Response:
        served = service.models.get(_model_name(request))
        return json_response(
            {
                "name": served.name,
                "platform": PLATFORM,
                "max_batch_size": 0,
                "input": [
                    {"name": name, "data_type": f"TYPE_{_kind(kind)}", "dims": shape}
                    | ({"optional": True} if optional else {})
                    for name, kind, shape, optional in INPUTS
                ],
                "output": [
                    {"name": name, "data_type": f"TYPE_{_kind(kind)}", "dims": shape}
                    for name, kind, shape in OUTPUTS
                ],
            }
        )

    async def ready(request: Request) -> Response:
        service.require_open()
        if not service.models.get(_model_name(request)).ready:
            raise HTTPError(503, "loading", "The model is loading.", retry_after=5)
        return Response()

    async def infer(request: Request) -> Response:
        name = _model_name(request)
        head, binary = _split_body(request)
        try:
            body = InferRequest.model_validate_json(head)
        except ValidationError as error:
            raise bad_body(error) from None
        outputs = requested_outputs(body)
        call = infer_call(name, body, binary)
        record = request.scope["record"]
        response = await service.answer(call, record)
        tensors = {tensor.name: tensor for tensor in output_tensors(response)}
        head_out: dict[str, Any] = {"model_name": record.model, "model_version": VERSION}
        if body.id is not None:
            head_out["id"] = body.id
        return compressed(
            request, _response(head_out, [(tensors[name], binary) for name, binary in outputs])
        )

    paths = ("/v2/models/{model}", f"/v2/models/{{model}}/versions/{VERSION}")
    return [
        Route("/v2", server, methods=["GET"]),
        *(Route(path, model, methods=["GET"]) for path in paths),
        *(Route(f"{path}/config", config, methods=["GET"]) for path in paths),
        *(Route(f"{path}/ready", ready, methods=["GET"]) for path in paths),
        *(Route(f"{path}/infer", infer, methods=["POST"]) for path in paths),
    ]


def _model_name(request: Request) -> str:
    name: str = request.path_params["model"]
    return name


def _kind(datatype: str) -> str:
    return "STRING" if datatype == "BYTES" else datatype


def _split_body(request: Request) -> tuple[bytes, bytes]:
    """Split a body into its JSON and the bytes behind it."""
    body: bytes = request.scope["body"]
    header = request.headers.get(_JSON_LENGTH)
    if header is None:
        return body, b""
    is_number = header.isascii() and header.isdigit() and len(header) < 16
    if not is_number or int(header) > len(body):
        raise HTTPError(
            400, "bad_header", "Inference-Header-Content-Length is not within the body's length."
        )
    return body[: int(header)], body[int(header) :]


def _response(head: dict[str, Any], outputs: list[tuple[Tensor, bool]]) -> Response:
    described, parts = [], []
    for tensor, binary in outputs:
        if binary:
            description, data = tensor.as_binary()
            parts.append(data)
        else:
            description = tensor.as_json()
        described.append(description)
    text = orjson.dumps({**head, "outputs": described})
    if not any(binary for _, binary in outputs):
        return Response(text, media_type="application/json")
    return Response(
        b"".join((text, *parts)),
        media_type="application/octet-stream",
        headers={_JSON_LENGTH: str(len(text))},
    )
