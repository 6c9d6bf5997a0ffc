"""What the routes of the server take and answer, as the OpenAPI document lists them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from mlmfast.serving.http.protocols.v2.inference import VERSION

REF = "#/components/schemas/{model}"
_ROWS: dict[str, Any] = {
    "description": "For a text with one mask a list of rows, with several masks a list of such "
    "lists; for a list of texts a list of these.",
    "type": "array",
}
_OBJECT: dict[str, Any] = {"type": "object"}
# Statuses of every route, of those that a key protects, and of those that count as requests.
_ANY = ("400",)
_READS = (*_ANY, "401", "421")
_COUNTED = (*_READS, "429", "503")
_SENDS = (*_COUNTED, "408", "413", "415")
_RUNS = (*_SENDS, "404", "422", "500", "504")


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Attributes:
        method: in lower case.
        path: with parameters in braces.
        name: its operationId.
        summary: what it does, in a line.
        statuses: those of its errors.
        answer: the schema of its answer; None: the answer is empty.
        media: the type of its answer.
        body: the name of the schema of its body; None: it takes none.
        example: a body.
        lines: whether it can also answer with lines of JSON.
        protocol: "own" or "v2", which decides the form of errors.
        is_state: whether it answers with 503 in place of "no".
    """

    method: str
    path: str
    name: str
    summary: str
    statuses: tuple[str, ...]
    answer: dict[str, Any] | None = None
    media: str = "application/json"
    body: str | None = None
    example: dict[str, Any] | None = None
    lines: bool = False
    protocol: str = "own"
    is_state: bool = False


def operations(mask: str) -> list[Operation]:
    """Return all operations, with examples that have this mask token."""
    sentence = f"Paris is the {mask} of France."
    rows_example = {"inputs": sentence, "parameters": {"top_k": 3}}
    return [
        Operation(
            "post",
            "/v1/fill-mask",
            "fillMask",
            "Fill masks; one form for one text and for many",
            _RUNS,
            _ref("FillResponse"),
            body="FillRequest",
            example={"inputs": sentence, "top_k": 3},
            lines=True,
        ),
        Operation(
            "post",
            "/v1/fill",
            "fillTogether",
            "Fill all masks of a text together, so that the words fit each other",
            _RUNS,
            _ref("JointResponse"),
            body="JointRequest",
            example={"inputs": f"Paris is the {mask} of {mask}.", "top_k": 3, "beams": 10},
            lines=True,
        ),
        Operation(
            "post",
            "/v1/score",
            "score",
            "Tell how probable a text is: its pseudo-log-likelihood",
            _RUNS,
            _ref("ScoreResponse"),
            body="ScoreRequest",
            example={"inputs": "Paris is the capital of France.", "per_token": True},
            lines=True,
        ),
        Operation(
            "post",
            "/v1/sparse",
            "sparse",
            "Weights of words for each text, for sparse retrieval (SPLADE)",
            _RUNS,
            _ref("SparseResponse"),
            body="SparseRequest",
            example={"inputs": "Paris is the capital of France.", "top_k": 10},
            lines=True,
        ),
        Operation(
            "post",
            "/embed_sparse",
            "embedSparse",
            "The same, as text-embeddings-inference answers; for its clients",
            _RUNS,
            {"type": "array", "items": {"type": "array", "items": _ref("SparseValue")}},
            body="EmbedSparseRequest",
            example={"inputs": "Paris is the capital of France."},
        ),
        Operation("get", "/v1/models", "listModels", "The models", _COUNTED, _ref("ModelList")),
        Operation(
            "post",
            "/",
            "pipeline",
            'Fill masks as pipeline("fill-mask") answers; for huggingface_hub.InferenceClient',
            _RUNS,
            _ROWS,
            body="FillMaskRequest",
            example=rows_example,
        ),
        Operation(
            "post",
            "/models/{model}",
            "pipelineOfModel",
            "The same, of a named model",
            _RUNS,
            _ROWS,
            body="FillMaskRequest",
            example=rows_example,
        ),
        *_open_inference(sentence),
        Operation(
            "get",
            "/health",
            "health",
            "Whether the server is ready",
            (*_ANY, "503"),
            _OBJECT,
            is_state=True,
        ),
        Operation("get", "/info", "info", "Version, models and limits", _READS, _OBJECT),
        *_pages(),
    ]


def _open_inference(sentence: str) -> list[Operation]:
    v2 = Operation("get", "/v2", "v2Server", "What the server is", _COUNTED, _OBJECT, protocol="v2")
    infer = {
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": [sentence]}],
        "parameters": {"top_k": 3},
    }
    # The protocol has 400 where others have 422.
    runs = tuple(status for status in _RUNS if status != "422")
    named = (*_COUNTED, "404")
    of_model = [
        replace(
            v2,
            method="post",
            path="/infer",
            name="v2Infer",
            summary="Open Inference Protocol; for tritonclient.http, also with binary tensors",
            statuses=runs,
            body="InferRequest",
            example=infer,
        ),
        replace(v2, path="", name="v2Model", summary="Inputs and outputs", statuses=named),
        replace(
            v2,
            path="/ready",
            name="v2Ready",
            summary="Whether a model is ready",
            statuses=named,
            answer=None,
        ),
        replace(v2, path="/config", name="v2Config", summary="Triton's form", statuses=named),
        replace(v2, path="/stats", name="v2Stats", summary="What it has done", statuses=named),
    ]
    prefixes = {"/v2/models/{model}": "", f"/v2/models/{{model}}/versions/{VERSION}": "OfVersion"}
    repository = replace(v2, method="post", path="/v2/repository", statuses=_SENDS)
    return [
        *(
            replace(each, path=prefix + each.path, name=each.name + suffix)
            for prefix, suffix in prefixes.items()
            for each in of_model
        ),
        v2,
        replace(v2, path="/v2/models/stats", name="v2AllStats", summary="What all have done"),
        replace(
            repository,
            path="/v2/repository/index",
            name="v2Index",
            summary="The models and their states",
            answer={"type": "array"},
        ),
        replace(
            repository,
            path="/v2/repository/models/{model}/load",
            name="v2Load",
            summary="Load a model again; needs a key",
            statuses=(*_SENDS, "403", "404", "500"),
        ),
        replace(
            repository,
            path="/v2/repository/models/{model}/unload",
            name="v2Unload",
            summary="Unload a model; needs a key",
            statuses=(*_SENDS, "403", "404"),
        ),
        replace(
            v2,
            path="/v2/health/live",
            name="v2Live",
            summary="Whether the server runs",
            statuses=_ANY,
            protocol="own",
        ),
        replace(
            v2,
            path="/v2/health/ready",
            name="v2ServerReady",
            summary="Whether all models are ready",
            statuses=(*_ANY, "503"),
            protocol="own",
            is_state=True,
        ),
    ]


def _pages() -> list[Operation]:
    page = Operation("get", "/", "page", "A page for people", (*_ANY, "421"), {}, "text/html")
    return [
        page,
        replace(page, path="/docs", name="docs", summary="This document for people"),
        replace(
            page,
            path="/openapi.json",
            name="openapi",
            summary="This document for programs",
            answer=_OBJECT,
            media="application/json",
        ),
        replace(
            page,
            path="/metrics",
            name="metrics",
            summary="Numbers for Prometheus",
            statuses=_ANY,
            media="text/plain",
        ),
    ]


def _ref(name: str) -> dict[str, str]:
    return {"$ref": REF.format(model=name)}
