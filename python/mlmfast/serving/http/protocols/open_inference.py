"""The Open Inference Protocol, as `tritonclient.http` and KServe speak it.

A model has the input `text` BYTES [n] or [n, 1], and the optional inputs `targets` BYTES [t] and
`top_k`, one integer, which may also be a parameter. Its outputs are, for all m masks of the n texts
in their order and k rows of each mask, `score` FP32, `token` INT64, `token_str` BYTES and
`sequence` BYTES, each [m, k], and `masks` INT32 [n], the number of masks of each text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response
from starlette.routing import Route

from mlmfast.serving.http.errors import HTTPError
from mlmfast.serving.http.protocols.body import parse_body
from mlmfast.serving.http.protocols.endpoint import answer_request, truncation_kwargs
from mlmfast.serving.http.protocols.requests import FillMaskCall
from mlmfast.serving.http.protocols.tensors import Tensor, integer_of, strings_of
from mlmfast.serving.http.responses import json_response

if TYPE_CHECKING:
    from starlette.requests import Request

    from mlmfast.serving.http.service import Service
    from mlmfast.serving.scheduler.request import InferenceResponse

VERSION = "1"
_PLATFORM = "onnxruntime_onnx"
_JSON_LENGTH = "inference-header-content-length"
INPUTS = (
    ("text", "BYTES", [-1], False),
    ("targets", "BYTES", [-1], True),
    ("top_k", "INT32", [1], True),
)
_OUTPUTS = (
    ("score", "FP32", [-1, -1]),
    ("token", "INT64", [-1, -1]),
    ("token_str", "BYTES", [-1, -1]),
    ("sequence", "BYTES", [-1, -1]),
    ("masks", "INT32", [-1]),
)


class InputTensor(BaseModel):
    """An input of an inference request."""

    model_config = ConfigDict(extra="ignore")

    name: str
    datatype: str
    shape: list[int] = Field(max_length=8, fail_fast=True)
    data: list[Any] | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)


class OutputTensor(BaseModel):
    """A requested output."""

    model_config = ConfigDict(extra="ignore")

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)


class InferRequest(BaseModel):
    """The JSON part of an inference request."""

    model_config = ConfigDict(extra="ignore")

    id: str | None = None
    inputs: list[InputTensor] = Field(min_length=1, max_length=8, fail_fast=True)
    outputs: list[OutputTensor] | None = Field(None, max_length=8, fail_fast=True)
    parameters: dict[str, Any] = Field(default_factory=dict)


def routes(service: Service) -> list[Route]:
    """Return this protocol's routes, except those for health and for loading models."""

    async def server(_request: Request) -> Response:
        from importlib.metadata import version

        return json_response(
            {
                "name": "mlmfast",
                "version": version("mlmfast"),
                "extensions": ["binary_tensor_data", "model_repository", "model_configuration"],
            }
        )

    async def model(request: Request) -> Response:
        served = service.models.get(_model_name(request))
        return json_response(
            {
                "name": served.name,
                "versions": [VERSION],
                "platform": _PLATFORM,
                "inputs": [
                    {"name": name, "datatype": kind, "shape": shape}
                    for name, kind, shape, _ in INPUTS
                ],
                "outputs": [
                    {"name": name, "datatype": kind, "shape": shape}
                    for name, kind, shape in _OUTPUTS
                ],
            }
        )

    async def config(request: Request) -> Response:
        served = service.models.get(_model_name(request))
        return json_response(
            {
                "name": served.name,
                "platform": _PLATFORM,
                "max_batch_size": 0,
                "input": [
                    {"name": name, "data_type": f"TYPE_{_kind(kind)}", "dims": shape}
                    | ({"optional": True} if optional else {})
                    for name, kind, shape, optional in INPUTS
                ],
                "output": [
                    {"name": name, "data_type": f"TYPE_{_kind(kind)}", "dims": shape}
                    for name, kind, shape in _OUTPUTS
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
        length = request.headers.get(_JSON_LENGTH)

        def parse(content: bytes) -> tuple[FillMaskCall, InferRequest]:
            head, binary = _split_body(content, length)
            body = parse_body(InferRequest, head)
            _outputs(body)  # wrong ones are refused before the model runs
            return _call(name, body, binary), body

        def write(body: InferRequest, response: InferenceResponse | None) -> Response:
            tensors = {tensor.name: tensor for tensor in _tensors(response)}
            head: dict[str, Any] = {"model_name": name, "model_version": VERSION}
            if body.id is not None:
                head["id"] = body.id
            return _response(head, [(tensors[name], binary) for name, binary in _outputs(body)])

        return await answer_request(service, request, parse, write)

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


def _call(model: str, body: InferRequest, binary: bytes) -> FillMaskCall:
    texts: list[str] | None = None
    targets: list[str] | None = None
    top_k = body.parameters.get("top_k")
    if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool)):
        raise HTTPError(400, "bad_request", "The parameter top_k must be an integer.")
    seen = set()
    for tensor in body.inputs:
        if tensor.name in seen:
            raise HTTPError(400, "bad_request", f"The input {tensor.name[:80]!r} is given twice.")
        seen.add(tensor.name)
        own, binary = _own_bytes(tensor, binary)
        if tensor.name == "top_k":
            top_k = integer_of("top_k", tensor.datatype, tensor.shape, tensor.data, own)
            continue
        if tensor.datatype != "BYTES":
            raise HTTPError(
                400,
                "bad_tensor",
                f"The input {tensor.name[:80]!r} has the datatype {tensor.datatype[:20]!r}, and "
                "must be BYTES.",
            )
        strings = strings_of(tensor.name, tensor.shape, tensor.data, own)
        if tensor.name == "text":
            texts = strings
        elif tensor.name == "targets":
            targets = strings
        else:
            raise HTTPError(
                400,
                "bad_request",
                f"There is no input {tensor.name[:80]!r}; there are text, targets and top_k.",
            )
    if binary:
        raise HTTPError(400, "bad_request", f"{len(binary)} bytes belong to none of the inputs.")
    if texts is None:
        raise HTTPError(400, "bad_request", "The input text is missing.")
    kwargs = truncation_kwargs(truncate=body.parameters.get("truncate") is True)
    return FillMaskCall(model, texts, top_k, targets, kwargs)


def _own_bytes(tensor: InputTensor, binary: bytes) -> tuple[bytes | None, bytes]:
    """Split a tensor's bytes from the rest; None for a tensor without bytes."""
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        return None, binary
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(binary):
        raise HTTPError(
            400,
            "bad_tensor",
            f"The input {tensor.name[:80]!r} has a binary_data_size that is not in the body.",
        )
    return binary[:size], binary[size:]


def _outputs(body: InferRequest) -> list[tuple[str, bool]]:
    """Return the names of the requested outputs, each with whether it is to be binary."""
    binary = body.parameters.get("binary_data_output") is True
    known = [name for name, _, _ in _OUTPUTS]
    if not body.outputs:
        return [(name, binary) for name in known]
    for output in body.outputs:
        if output.name not in known:
            raise HTTPError(
                400,
                "bad_request",
                f"There is no output {output.name[:80]!r}; there are {', '.join(known)}.",
            )
    return [
        (output.name, output.parameters.get("binary_data", binary) is True)
        for output in body.outputs
    ]


def _tensors(response: InferenceResponse | None) -> list[Tensor]:
    masks = response.masks if response else []
    rows: list[list[dict[str, Any]]] = []
    if response:
        for answer, count in zip(response.answers, masks, strict=True):
            rows += [answer] if count == 1 else answer
    flat = [row for of_mask in rows for row in of_mask]
    shape = [len(rows), len(rows[0]) if rows else 0]
    of_rows = [
        Tensor(name, kind, shape, [row[name] for row in flat])
        for name, kind, _ in _OUTPUTS
        if name != "masks"
    ]
    return [*of_rows, Tensor("masks", "INT32", [len(masks)], masks)]


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
