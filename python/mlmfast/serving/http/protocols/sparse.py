"""Sparse vectors: POST /v1/sparse, and /embed_sparse as text-embeddings-inference speaks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.routing import Route

from mlmfast.serving.http.protocols.body import parse_body
from mlmfast.serving.http.protocols.endpoint import (
    AtLeastOne,
    Strings,
    TextsRequest,
    TextsResponse,
    answer_request,
    post_route,
)
from mlmfast.serving.http.protocols.requests import SparseCall
from mlmfast.serving.http.responses import json_response
from mlmfast.serving.tasks.sparse import sparse_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from mlmfast.serving.http.service import Service
    from mlmfast.serving.scheduler.request import InferenceResponse

Threshold = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]


class SparseRequest(TextsRequest):
    """Texts that are encoded, and which of their words are kept."""

    inputs: str | Strings = Field(description="A text, or a list of texts.")
    kind: Literal["document", "query"] = Field(
        "document", description="Queries of some models are encoded by a table of weights."
    )
    top_k: AtLeastOne | None = Field(None, description="Heaviest words of a text. Default: all.")
    threshold: Threshold = Field(0.0, description="Words whose weights exceed it are kept.")
    special_tokens: bool = Field(
        False, strict=True, description="Let special tokens have a weight too."
    )
    truncate: bool = Field(True, strict=True, description="Cut a text that is too long at its end.")


class TextWords(BaseModel):
    """The words of one text, the heaviest first."""

    ids: list[int] = Field(description="Their ids.")
    tokens: list[str] = Field(description="The tokens, as the vocabulary writes them.")
    weights: list[float] = Field(description="Their weights, above 0.")


class SparseResponse(TextsResponse):
    """The texts in their order."""

    answers: list[TextWords]


class EmbedSparseRequest(BaseModel):
    """What clients of text-embeddings-inference send."""

    model_config = ConfigDict(extra="ignore")

    inputs: str | Strings = Field(description="A text, or a list of texts.")
    truncate: bool | None = Field(
        None, strict=True, description="Cut a text that is too long at its end."
    )
    truncation_direction: Literal["right", "Right"] = "right"
    prompt_name: Literal["document", "query"] | None = Field(
        None, description="query: the text is encoded as a query. Default: as a document."
    )


class SparseValue(BaseModel):
    """One word of a text."""

    index: int = Field(description="Its id.")
    value: float = Field(description="Its weight.")


def routes(service: Service) -> list[Route]:
    """Return the routes."""

    async def embed_sparse(request: Request) -> Response:
        return await answer_request(
            service, request, lambda body: (_embed_call(body), None), _write
        )

    return [
        post_route("/v1/sparse", service, SparseRequest, _call, _answers),
        Route("/embed_sparse", embed_sparse, methods=["POST"]),
    ]


def _call(body: SparseRequest, texts: list[str]) -> SparseCall:
    return SparseCall(
        body.model,
        texts,
        body.kind,
        body.top_k,
        body.threshold,
        body.special_tokens,
        body.truncate,
    )


def _answers(_body: SparseRequest, response: InferenceResponse) -> list[dict[str, Any]]:
    words = sparse_of(response.model).words
    return [words.lists(vector) for vector in response.answers]


def _embed_call(content: bytes) -> SparseCall:
    body = parse_body(EmbedSparseRequest, content)
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    return SparseCall(None, texts, body.prompt_name or "document", truncate=body.truncate or False)


def _write(_parsed: None, response: InferenceResponse | None) -> Response:
    return json_response(
        [
            [
                {"index": index, "value": value}
                for index, value in zip(vector.ids.tolist(), vector.weights.tolist(), strict=True)
            ]
            for vector in (response.answers if response else ())
        ]
    )
