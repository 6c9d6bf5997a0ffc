"""POST /v1/fill: all masks of a text filled together, so that the words fit each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field

from mlmfast.serving.http.protocols.endpoint import (
    AtLeastOne,
    TextsRequest,
    TextsResponse,
    post_route,
    truncation_kwargs,
)
from mlmfast.serving.http.protocols.requests import MAX_BEAMS, FillCall

if TYPE_CHECKING:
    from starlette.routing import Route

    from mlmfast.serving.http.service import Service
    from mlmfast.serving.scheduler.request import InferenceResponse


class JointRequest(TextsRequest):
    """Texts whose masks are filled together, and how."""

    top_k: AtLeastOne | None = Field(
        None, description="Fillings that are returned, at least 1. Default: 5."
    )
    beams: AtLeastOne | None = Field(
        None,
        description="Fillings that are kept after each word, at least 1 and at most "
        f"{MAX_BEAMS}. More of them find better fillings. Default: as many as top_k.",
    )
    order: Literal["certain", "left_to_right"] = Field(
        "certain", description="Which mask is next: that whose best token is the most probable."
    )
    truncate: bool = Field(
        False, strict=True, description="Cut a text that is too long around its masks."
    )


class FilledRow(BaseModel):
    """One candidate of several tokens."""

    score: float = Field(description="Its probability, 0 to 1.")
    tokens: list[int] = Field(description="Their ids.")
    token_strs: list[str] = Field(description="Their texts.")
    sequence: str = Field(description="The text with them in it.")


class Fillings(BaseModel):
    """One text: the fillings of all its masks, best first, tokens in the order of the masks."""

    fillings: list[FilledRow]


class JointResponse(TextsResponse):
    """The texts in their order."""

    answers: list[Fillings]


def routes(service: Service) -> list[Route]:
    """Return the route."""
    return [post_route("/v1/fill", service, JointRequest, _call, _answers)]


def _call(body: JointRequest, texts: list[str]) -> FillCall:
    top_k = 5 if body.top_k is None else body.top_k
    kwargs = truncation_kwargs(truncate=body.truncate)
    return FillCall(body.model, texts, top_k, body.beams, body.order, kwargs)


def _answers(_body: JointRequest, response: InferenceResponse) -> list[dict[str, Any]]:
    return [{"fillings": answer} for answer in response.answers]
