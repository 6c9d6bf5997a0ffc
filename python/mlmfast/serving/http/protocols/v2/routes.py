"""The Open Inference Protocol over HTTP, as `tritonclient.http` and KServe speak it.

`inference.py` says which inputs and outputs a model has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response
from starlette.routing import Route

from mlmfast.serving.http.errors import HTTPError
from mlmfast.serving.http.protocols.body import parse_body
from mlmfast.serving.http.protocols.endpoint import answer_request
from mlmfast.serving.http.protocols.v2.inference import (
    PLATFORM,
    VERSION,
    infer_call,
    model_metadata,
    repository_extension,
    server_metadata,
)
from mlmfast.serving.http.protocols.v2.outputs import (
    output_tensors,
    outputs_of,
    requested_outputs,
)
from mlmfast.serving.http.protocols.v2.request import InferRequest
from mlmfast.serving.http.protocols.v2.signature import INPUTS
from mlmfast.serving.http.responses import json_response

if TYPE_CHECKING:
    from starlette.requests import Request

    from mlmfast.serving.http.protocols.requests import Call
    from mlmfast.serving.http.protocols.v2.tensors import Tensor
    from mlmfast.serving.http.service import Service
    from mlmfast.serving.scheduler.request import InferenceResponse

_JSON_LENGTH = "inference-header-content-length"


def routes(service: Service) -> list[Route]:
    """Return this protocol's routes, except those for health and for loading models."""
    extensions = ["binary_tensor_data", "model_configuration", "statistics"]
    extensions += repository_extension(service.settings)

    async def server(_request: Request) -> Response:
        return json_response(server_metadata(extensions))

    async def model(request: Request) -> Response:
        return json_response(model_metadata(service.models.get(_model_name(request))))

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
                    for name, kind, shape in outputs_of(served)
                ],
            }
        )

    async def statistics(request: Request) -> Response:
        name = request.path_params.get("model")
        models = service.models if name is None else [service.models.get(name)]
        stats = [model.statistics.as_json(model.name, VERSION) for model in models]
        return json_response({"model_stats": stats})

    async def ready(request: Request) -> Response:
        service.require_open()
        service.models.get(_model_name(request)).serving()
        return Response()

    async def infer(request: Request) -> Response:
        name = _model_name(request)
        length = request.headers.get(_JSON_LENGTH)

        def parse(content: bytes) -> tuple[Call, InferRequest]:
            head, binary = _split_body(content, length)
            body = parse_body(InferRequest, head)
            requested_outputs(body)  # wrong ones are refused before the model runs
            return infer_call(name, body, binary), body

        def write(body: InferRequest, response: InferenceResponse | None) -> Response:
            tensors = {tensor.name: tensor for tensor in output_tensors(body, response)}
            head: dict[str, Any] = {"model_name": name, "model_version": VERSION}
            if body.id is not None:
                head["id"] = body.id
            outputs = requested_outputs(body)
            return _response(head, [(tensors[name], binary) for name, binary in outputs])

        return await answer_request(service, request, parse, write)

    paths = ("/v2/models/{model}", f"/v2/models/{{model}}/versions/{VERSION}")
    return [
        Route("/v2", server, methods=["GET"]),
        Route("/v2/models/stats", statistics, methods=["GET"]),
        *(Route(f"{path}/stats", statistics, methods=["GET"]) for path in paths),
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


def _split_body(body: bytes, header: str | None) -> tuple[bytes, bytes]:
    """Split a body into its JSON and the bytes behind it, by the header of its length."""
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
