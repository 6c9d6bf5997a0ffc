"""What the endpoints of our own protocol share: the form of their bodies, and how they answer."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.routing import Route

from mlmfast.serving.http.errors import bad_body
from mlmfast.serving.http.protocols.ndjson import AnswerStream, accepts_lines
from mlmfast.serving.http.responses import compressed, json_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from mlmfast.serving.http.protocols.requests import Call
    from mlmfast.serving.http.service import Service
    from mlmfast.serving.scheduler.request import InferenceResponse

TopK = Annotated[int, Field(strict=True)]
# A list of wrong elements is refused at the first one, however long it is.
Strings = Annotated[list[str], Field(fail_fast=True)]


class Timing(BaseModel):
    """Milliseconds."""

    queue_ms: float = Field(description="From the request's arrival until it was run.")
    run_ms: float = Field(description="From then until its last text was answered.")
    total_ms: float = Field(description="The whole request within the server.")


class TextsRequest(BaseModel):
    """One text or several, for one model."""

    model_config = ConfigDict(extra="forbid")

    inputs: str | Strings = Field(
        description="A text with at least one of the model's mask tokens, or a list of texts."
    )
    model: str | None = Field(None, description="A model's name. Default: the first one served.")


class TextsResponse(BaseModel):
    """The answers in the order of the texts."""

    model: str
    answers: list[Any]
    tokens: int = Field(description="Of all texts together, special tokens included.")
    timing: Timing


Body = TypeVar("Body", bound=TextsRequest)


def post_route(
    path: str,
    service: Service,
    body_type: type[Body],
    call: Callable[[Body, list[str]], Call],
    answers: Callable[[Body, InferenceResponse], list[Any]],
) -> Route:
    """Return the route of an endpoint, which answers with one object or, if asked, with lines.

    Args:
        path: the path.
        service: answers the calls.
        body_type: the form of the body.
        call: makes a call from a body and its texts.
        answers: returns the answer to each text.
    """

    async def endpoint(request: Request) -> Response:
        started = time.perf_counter()
        try:
            body = body_type.model_validate_json(request.scope["body"])
        except ValidationError as error:
            raise bad_body(error) from None
        texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
        record = request.scope["record"]
        if accepts_lines(request):
            stream = AnswerStream(
                service, record, texts, partial(call, body), partial(answers, body)
            )
            return await stream.response()
        response = await service.answer(call(body, texts), record)
        content = {
            "model": record.model,
            "answers": answers(body, response) if response else [],
            "tokens": record.tokens,
            "timing": {
                "queue_ms": round(record.queue_seconds * 1e3, 3),
                "run_ms": round(record.run_seconds * 1e3, 3),
                "total_ms": round((time.perf_counter() - started) * 1e3, 3),
            },
        }
        return compressed(request, json_response(content))

    return Route(path, endpoint, methods=["POST"])


def truncation_kwargs(truncate: bool) -> dict[str, Any] | None:
    """Return the tokenizer keywords for an endpoint's option `truncate`."""
    return {"truncation": "around_mask"} if truncate else None
