"""Our own protocol: POST /v1/fill-mask, in one form for one and many texts, and the models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field
from starlette.routing import Route

from mlmfast.serving.http.protocols.endpoint import (
    Strings,
    TextsRequest,
    TextsResponse,
    TopK,
    post_route,
    truncation_kwargs,
)
from mlmfast.serving.http.protocols.fill import FilledRow
from mlmfast.serving.http.protocols.requests import FillMaskCall
from mlmfast.serving.http.responses import json_response

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from mlmfast.serving.http.registry import ServedModel
    from mlmfast.serving.http.service import Service
    from mlmfast.serving.scheduler.request import InferenceResponse


class FillRequest(TextsRequest):
    """Texts with masks, and what is wanted of them."""

    top_k: TopK | None = Field(None, description="Rows a mask gets, at least 0. Default: 5.")
    targets: Strings | None = Field(
        None,
        description="Words to choose from. Scores stay shares of the whole vocabulary. A word that "
        "is no single token stands for its first piece, unless whole_targets is set.",
    )
    whole_targets: bool = Field(
        False,
        strict=True,
        description="Score targets of several tokens as a whole: each is put in the place of as "
        "many masks, and its score is the product of its pieces' probabilities, each with those "
        "before it known. Rows have tokens and token_strs then.",
    )
    truncate: bool = Field(
        False, strict=True, description="Cut a text that is too long around its masks."
    )


class MaskRow(BaseModel):
    """One candidate for a mask."""

    score: float = Field(description="Its probability, 0 to 1.")
    token: int = Field(description="Its id.")
    token_str: str = Field(description="Its text.")
    sequence: str = Field(description="The text with this mask filled, and the others left.")


class FilledText(BaseModel):
    """One text: a list of rows for each of its masks, best first."""

    masks: list[list[MaskRow | FilledRow]] = Field(
        description="FilledRow where whole_targets is set."
    )


class FillResponse(TextsResponse):
    """The texts in their order."""

    answers: list[FilledText]


class ModelInfo(BaseModel):
    """A model that is served."""

    name: str
    ready: bool
    mask_token: str | None = Field(None, description="What to write where a word is missing.")
    max_length: int | None = Field(None, description="Tokens a text may have.")
    vocab_size: int | None = None
    device: str | None = None
    tasks: list[str] | None = Field(None, description='"fill-mask", and "sparse" if it can.')
    loads: int = Field(description="How often it was loaded.")


class ModelList(BaseModel):
    """All models; the first is the default."""

    models: list[ModelInfo]


class ErrorBody(BaseModel):
    """What went wrong."""

    error: str = Field(description="A sentence for people.")
    error_type: str = Field(description="One word for programs.")
    request_id: str
    tokens: int | None = Field(None, description="With too_many_tokens: tokens of the text.")
    max_tokens: int | None = Field(None, description="With too_many_tokens: what the model takes.")


def routes(service: Service) -> list[Route]:
    """Return this protocol's routes."""

    async def models(_request: Request) -> Response:
        return json_response({"models": [describe(model) for model in service.models]})

    return [
        post_route("/v1/fill-mask", service, FillRequest, _call, _answers),
        Route("/v1/models", models, methods=["GET"]),
    ]


def describe(served: ServedModel) -> dict[str, object]:
    """Return what the users of a model need to know."""
    info: dict[str, object] = {"name": served.name, "ready": served.ready, "loads": served.loads}
    if served.ready:
        model = served.model
        info |= {
            "mask_token": model.tokenizer.mask_token,
            "max_length": model.limits.max_length,
            "vocab_size": model.limits.vocab_size,
            "device": model.engine.device,
            "tasks": ["fill-mask", *(["sparse"] if model.sparse else ())],
        }
    return info


def _call(body: FillRequest, texts: list[str]) -> FillMaskCall:
    return FillMaskCall(
        body.model,
        texts,
        body.top_k,
        body.targets,
        truncation_kwargs(truncate=body.truncate),
        body.whole_targets,
    )


def _answers(_body: FillRequest, response: InferenceResponse) -> list[dict[str, Any]]:
    return [
        {"masks": [answer] if masks == 1 else answer}
        for answer, masks in zip(response.answers, response.masks, strict=True)
    ]
