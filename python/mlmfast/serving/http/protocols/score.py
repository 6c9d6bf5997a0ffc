"""POST /v1/score: how probable a text is to the model, its pseudo-log-likelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field

from mlmfast.serving.http.protocols.endpoint import Strings, TextsRequest, TextsResponse, post_route
from mlmfast.serving.http.protocols.requests import ScoreCall

if TYPE_CHECKING:
    from starlette.routing import Route

    from mlmfast.serving.http.service import Service
    from mlmfast.serving.scheduler.request import InferenceResponse


class ScoreRequest(TextsRequest):
    """Texts that are scored, and how."""

    inputs: str | Strings = Field(
        description="A text, or a list of texts. Their special tokens and masks are not scored."
    )
    method: Literal["original", "word_l2r"] = Field(
        "original",
        description="word_l2r: with a token the later ones of its word are masked, so that they "
        "do not give it away.",
    )
    per_token: bool = Field(False, strict=True, description="Tell the score of each token too.")


class TextScore(BaseModel):
    """One text."""

    score: float = Field(description="The sum of its tokens' log-probabilities, at most 0.")


class TokenScores(TextScore):
    """One text and its tokens."""

    tokens: list[int] = Field(description="Their ids.")
    token_strs: list[str] = Field(description="Their texts.")
    token_scores: list[float] = Field(
        description="Natural logarithms of their probabilities, each given all other tokens."
    )


class ScoreResponse(TextsResponse):
    """The texts in their order."""

    answers: list[TextScore | TokenScores] = Field(description="With per_token those of tokens.")


def routes(service: Service) -> list[Route]:
    """Return the route."""
    return [post_route("/v1/score", service, ScoreRequest, _call, _answers)]


def _call(body: ScoreRequest, texts: list[str]) -> ScoreCall:
    return ScoreCall(body.model, texts, body.method)


def _answers(body: ScoreRequest, response: InferenceResponse) -> list[dict[str, Any]]:
    if body.per_token:
        return response.answers
    return [{"score": answer["score"]} for answer in response.answers]
