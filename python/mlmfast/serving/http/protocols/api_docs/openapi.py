"""The OpenAPI document, generated from the models that validate the requests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from mlmfast.serving.http.middleware.terms import LEAST_SECONDS, PRIORITY_HEADER, TIMEOUT_HEADER
from mlmfast.serving.http.protocols.api_docs.operations import REF, Operation, operations
from mlmfast.serving.http.protocols.fill import JointRequest, JointResponse
from mlmfast.serving.http.protocols.huggingface import FillMaskRequest
from mlmfast.serving.http.protocols.ndjson import MEDIA_TYPE as LINES
from mlmfast.serving.http.protocols.score import ScoreRequest, ScoreResponse
from mlmfast.serving.http.protocols.sparse import (
    EmbedSparseRequest,
    SparseRequest,
    SparseResponse,
    SparseValue,
)
from mlmfast.serving.http.protocols.v1 import ErrorBody, FillRequest, FillResponse, ModelList
from mlmfast.serving.http.protocols.v2.request import InferRequest
from mlmfast.serving.http.record import PRIORITIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.serving.http.settings import ServeSettings

_PROBLEMS = {
    "400": "The body is no valid JSON, or the request no valid HTTP.",
    "401": "The key is missing or wrong.",
    "403": "The server was started without a key, or with several workers.",
    "404": "There is no such model.",
    "408": "The body came too slowly.",
    "413": "The body or a text is too large.",
    "415": "The body's encoding or content type is not known.",
    "421": "The host is none that the server answers for.",
    "422": "A text has no mask or is too long, an option is out of range, or asks too much.",
    "429": "The queue, the memory or the share of the key is used up.",
    "500": "The model failed.",
    "503": "The server is loading or stopping, or too many answers wait to be read.",
    "504": "The request was not answered in time.",
}
# Over the Open Inference Protocol.
_BAD_REQUEST = "The request is not valid, or a text cannot be used."
_RETRY = {
    "Retry-After": {
        "description": "Seconds after which to ask again, if that may help.",
        "schema": {"type": "integer", "minimum": 1},
    }
}
_WANTS_KEY = {"WWW-Authenticate": {"schema": {"const": "Bearer"}, "required": True}}
_REQUEST_ID = {
    "X-Request-Id": {
        "description": "The client's own, or a random one; log lines have it too.",
        "schema": {"type": "string"},
        "required": True,
    }
}
_TIMEOUT = {
    "name": TIMEOUT_HEADER,
    "in": "header",
    "description": "Seconds after which the request leaves the queue with 504. The server's own "
    "limit remains.",
    "schema": {"type": "number", "minimum": LEAST_SECONDS, "maximum": 999_999_999},
}
_PRIORITY = {
    "name": PRIORITY_HEADER,
    "in": "header",
    "description": "The class of the request, which decides its share of the batches.",
    "schema": {"type": "string", "enum": [*PRIORITIES], "default": "normal"},
}
_V2_ERROR = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
    "additionalProperties": False,
}


def openapi_document(version: str, settings: ServeSettings, masks: Sequence[str]) -> dict[str, Any]:
    """Return the document of all routes.

    Args:
        version: the version of mlmfast.
        settings: the settings of the server.
        masks: the mask tokens of the models that are loaded, that of the default model first.
    """
    names = [model.name for model in settings.models]
    paths: dict[str, Any] = {}
    for each in operations(masks[0] if masks else "<mask>"):
        methods = paths.setdefault(each.path, {})
        if "{model}" in each.path:
            methods["parameters"] = [
                {
                    "name": "model",
                    "in": "path",
                    "required": True,
                    "schema": {"type": "string", "enum": names},
                }
            ]
        methods[each.method] = _operation(each, with_keys=settings.needs_key)
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "mlmfast serve",
            "version": version,
            "description": "Fill the masks of texts with masked language models.",
        },
        "paths": paths,
        "components": {"schemas": _schemas(settings, masks)},
    }
    if settings.needs_key:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return document


def _operation(of: Operation, *, with_keys: bool) -> dict[str, Any]:
    error = _V2_ERROR if of.protocol == "v2" else {"$ref": REF.format(model="ErrorBody")}
    success: dict[str, Any] = {"description": "The answer", "headers": _REQUEST_ID}
    if of.answer is not None:
        success["content"] = {of.media: {"schema": of.answer}}
    if of.lines:
        success["content"][LINES] = {"schema": {"type": "string"}}
    if of.body == "InferRequest":
        success["content"]["application/octet-stream"] = {"schema": {}}
    responses = {"200": success}
    for status in sorted(set(of.statuses)):
        problem = _PROBLEMS[status]
        if of.protocol == "v2" and status == "400":
            problem = _BAD_REQUEST
        responses[status] = {
            "description": problem,
            "content": {"application/json": {"schema": error}},
            "headers": _headers(status),
        }
    described: dict[str, Any] = {
        "operationId": of.name,
        "summary": of.summary,
        "responses": responses,
    }
    if of.is_state:
        responses["503"] = {**success, "description": "No"}
    if "504" in responses:
        described["parameters"] = [_TIMEOUT, _PRIORITY] if with_keys else [_TIMEOUT]
    if with_keys and "401" in responses:
        described["security"] = [{"key": []}]
    if of.body:
        schema = {"$ref": REF.format(model=of.body)}
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema, "example": of.example}},
        }
    return described


def _headers(status: str) -> dict[str, Any]:
    headers: dict[str, Any] = dict(_REQUEST_ID)
    if status in ("429", "503", "504"):
        headers |= _RETRY
    if status == "401":
        headers |= _WANTS_KEY
    return headers


def _schemas(settings: ServeSettings, masks: Sequence[str]) -> dict[str, Any]:
    """Return the schemas of all bodies and answers, with what this server's models need."""
    _, found = models_json_schema(
        [
            (FillMaskRequest, "validation"),
            (FillRequest, "validation"),
            (FillResponse, "serialization"),
            (JointRequest, "validation"),
            (JointResponse, "serialization"),
            (ScoreRequest, "validation"),
            (ScoreResponse, "serialization"),
            (SparseRequest, "validation"),
            (SparseResponse, "serialization"),
            (EmbedSparseRequest, "validation"),
            (SparseValue, "serialization"),
            (ModelList, "serialization"),
            (InferRequest, "validation"),
            (ErrorBody, "serialization"),
        ],
        ref_template=REF,
    )
    schemas: dict[str, Any] = found["$defs"]
    one_mask = len(set(masks)) == 1 and len(masks) == len(settings.models)
    for name in ("FillMaskRequest", "FillRequest", "JointRequest", "ScoreRequest"):
        text: dict[str, Any] = {"minLength": 1}
        if one_mask and name != "ScoreRequest":
            text["pattern"] = re.escape(masks[0])
        single, several = schemas[name]["properties"]["inputs"]["anyOf"]
        single |= text
        several["items"] |= text
    return schemas
