"""The OpenAPI document, generated from the models that validate the requests."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from mlmfast.serving.http.protocols.fill import JointRequest, JointResponse
from mlmfast.serving.http.protocols.huggingface import FillMaskRequest
from mlmfast.serving.http.protocols.inference import InferRequest
from mlmfast.serving.http.protocols.ndjson import MEDIA_TYPE as LINES
from mlmfast.serving.http.protocols.score import ScoreRequest, ScoreResponse
from mlmfast.serving.http.protocols.v1 import ErrorBody, FillRequest, FillResponse, ModelList

_REF = "#/components/schemas/{model}"
_PROBLEMS = {
    "400": "The body is no valid JSON.",
    "401": "The key is missing or wrong.",
    "404": "There is no such model.",
    "408": "The body came too slowly.",
    "413": "The body is too large.",
    "415": "The body's encoding or content type is not known.",
    "422": "A text has no mask or is too long, an option is out of range, or asks too much.",
    "429": "The queue is full; Retry-After says when to ask again.",
    "500": "The model failed.",
    "503": "The server is loading or stopping.",
    "504": "The request was not answered in time.",
}
ROWS: dict[str, Any] = {
    "description": "For a text with one mask a list of rows, with several masks a list of such "
    "lists; for a list of texts a list of these.",
    "type": "array",
}
_SENTENCE = "Paris is the <mask> of France."
_TWO_MASKS = "Paris is the <mask> of <mask>."
WORDS = "Paris is the capital of France."


def openapi_document(version: str, *, with_keys: bool) -> dict[str, Any]:
    """Return the document of all routes for clients.

    Args:
        version: the version of mlmfast.
        with_keys: whether the server requires API keys.
    """
    _, schemas = models_json_schema(
        [
            (FillMaskRequest, "validation"),
            (FillRequest, "validation"),
            (FillResponse, "serialization"),
            (JointRequest, "validation"),
            (JointResponse, "serialization"),
            (ScoreRequest, "validation"),
            (ScoreResponse, "serialization"),
            (ModelList, "serialization"),
            (InferRequest, "validation"),
            (ErrorBody, "serialization"),
        ],
        ref_template=_REF,
    )
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "mlmfast serve",
            "version": version,
            "description": "Fill the masks of texts with masked language models.",
        },
        "paths": _paths(),
        "components": {"schemas": schemas["$defs"]},
    }
    if with_keys:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}]
    return document


def _paths() -> dict[str, Any]:
    rows_example = {"inputs": _SENTENCE, "parameters": {"top_k": 3}}
    infer_example = {
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": [_SENTENCE]}],
        "parameters": {"top_k": 3},
    }
    model = [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}]
    return {
        "/v1/fill-mask": {
            "post": _post(
                "Fill masks; one form for one text and for many",
                "FillRequest",
                _ref("FillResponse"),
                {"inputs": _SENTENCE, "top_k": 3},
                lines=True,
            )
        },
        "/v1/fill": {
            "post": _post(
                "Fill all masks of a text together, so that the words fit each other",
                "JointRequest",
                _ref("JointResponse"),
                {"inputs": _TWO_MASKS, "top_k": 3, "beams": 10},
                lines=True,
            )
        },
        "/v1/score": {
            "post": _post(
                "Tell how probable a text is: its pseudo-log-likelihood",
                "ScoreRequest",
                _ref("ScoreResponse"),
                {"inputs": WORDS, "per_token": True},
                lines=True,
            )
        },
        "/v1/models": {
            "get": {"summary": "The models", "responses": _responses(_ref("ModelList"), {"401"})}
        },
        "/": {
            "get": {
                "summary": "A page for people",
                "responses": {
                    "200": {"description": "OK", "content": {"text/html": {"schema": {}}}}
                },
            },
            "post": _post(
                'Fill masks as pipeline("fill-mask") answers; for huggingface_hub.InferenceClient',
                "FillMaskRequest",
                ROWS,
                rows_example,
            ),
        },
        "/models/{model}": {
            "parameters": model,
            "post": _post("The same, of a named model", "FillMaskRequest", ROWS, rows_example),
        },
        "/v2/models/{model}/infer": {
            "parameters": model,
            "post": _post(
                "Open Inference Protocol; for tritonclient.http, also with binary tensors",
                "InferRequest",
                {"type": "object"},
                infer_example,
                error={"type": "object", "properties": {"error": {"type": "string"}}},
            ),
        },
        "/health": {"get": _state("Whether the server is ready")},
        "/v2/health/live": {"get": _state("Whether the server runs")},
        "/v2/health/ready": {"get": _state("Whether all models are ready")},
        "/info": {
            "get": {
                "summary": "Version, models and limits",
                "responses": _responses({"type": "object"}, {"401"}),
            }
        },
        "/metrics": {
            "get": {
                "summary": "Numbers for Prometheus",
                "responses": {
                    "200": {"description": "OK", "content": {"text/plain": {"schema": {}}}}
                },
            }
        },
    }


def _post(
    summary: str,
    body: str,
    answer: dict[str, Any],
    example: dict[str, Any],
    error: dict[str, Any] | None = None,
    *,
    lines: bool = False,
) -> dict[str, Any]:
    responses = _responses(answer, set(_PROBLEMS), error)
    if lines:
        responses["200"]["content"][LINES] = {"schema": {"type": "string"}}
    return {
        "summary": summary,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ref(body), "example": example}},
        },
        "responses": responses,
    }


def _state(summary: str) -> dict[str, Any]:
    answer = {"description": "Yes", "content": {"application/json": {"schema": {"type": "object"}}}}
    return {
        "summary": summary,
        "responses": {"200": answer, "503": {**answer, "description": "No"}},
    }


def _responses(
    answer: dict[str, Any], statuses: set[str], error: dict[str, Any] | None = None
) -> dict[str, Any]:
    content = {"application/json": {"schema": error or _ref("ErrorBody")}}
    return {
        "200": {"description": "The answer", "content": {"application/json": {"schema": answer}}},
        **{
            status: {"description": _PROBLEMS[status], "content": content}
            for status in sorted(statuses)
        },
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REF.format(model=name)}
