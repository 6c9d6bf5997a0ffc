"""POST /v1/fill: all masks of a text filled together, so that the words fit each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.routing import Route

from mlmfast.serving.http.protocols.endpoint import Timing, json_endpoint, truncation_kwargs
from mlmfast.serving.http.protocols.huggingface import TopK
from mlmfast.serving.http.protocols.requests import MOST_BEAMS, FillingsQuestion

if TYPE_CHECKING:
    from mlmfast.serving.http.service import Service
    from mlmfast.serving.scheduler.request import InferenceResponse


class JointRequest(BaseModel):
    """Texts whose masks are filled together, and how."""

    model_config = ConfigDict(extra="forbid")

    inputs: str | list[str] = Field(
        description="A text with at least one of the model's mask tokens, or a list of texts."
    )
    model: str | None = Field(None, description="A model's name. Default: the first one served.")
    top_k: TopK | None = Field(
        None, description="Fillings that are returned, at least 1. Default: 5."
    )
    beams: TopK | None = Field(
        None,
        description="Fillings that are kept after each word, at least 1 and at most "
        f"{MOST_BEAMS}. More of them find better fillings. Default: as many as top_k.",
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


class JointResponse(BaseModel):
    """The texts in their order."""

    model: str
    answers: list[Fillings]
    tokens: int = Field(description="Of all texts together, special tokens included.")
    timing: Timing


def routes(service: Service) -> list[Route]:
    """Return the route."""
    fill = json_endpoint(service, JointRequest, _question, _answers)
    return [Route("/v1/fill", fill, methods=["POST"])]


def _question(body: JointRequest, texts: list[str]) -> FillingsQuestion:
    top_k = 5 if body.top_k is None else body.top_k
    return FillingsQuestion(
        body.model, texts, top_k, body.beams, body.order, truncation_kwargs(truncate=body.truncate)
    )


def _answers(_body: JointRequest, response: InferenceResponse) -> list[dict[str, Any]]:
    return [{"fillings": answer} for answer in response.answers]
