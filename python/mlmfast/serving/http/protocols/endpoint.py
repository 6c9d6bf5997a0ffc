"""What the endpoints of our own protocol share: the form of their bodies, and how they answer."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from starlette.routing import Route

from mlmfast.serving.http.offload import LARGE_BYTES
from mlmfast.serving.http.protocols.body import parse_body
from mlmfast.serving.http.protocols.ndjson import AnswerStream, accepts_lines
from mlmfast.serving.http.responses import compressed, json_response
from mlmfast.serving.scheduler.queue import AnswerTooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from mlmfast.serving.http.protocols.requests import Call
    from mlmfast.serving.http.service import Service
    from mlmfast.serving.scheduler.request import InferenceResponse

# The least value is checked with the other options; the schema only tells it.
TopK = Annotated[int, Field(strict=True, json_schema_extra={"minimum": 0})]
AtLeastOne = Annotated[int, Field(strict=True, json_schema_extra={"minimum": 1})]
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


Parsed = TypeVar("Parsed")


async def parse_request(
    service: Service, request: Request, parse: Callable[[bytes], tuple[Call, Parsed]]
) -> tuple[Call, Parsed]:
    """Return what `parse` makes of the body of a request, which is needed no more."""
    body: bytes = request.scope["body"]
    request.scope["body"] = b""
    return await service.large_work.run(len(body), parse, body)


async def answer_request(
    service: Service,
    request: Request,
    parse: Callable[[bytes], tuple[Call, Parsed]],
    write: Callable[[Parsed, InferenceResponse | None], Response],
) -> Response:
    """Answer a request that runs a model; large bodies and answers do not hold up others.

    Args:
        service: answers the call.
        request: the request.
        parse: makes a call from the body, and what `write` needs of the body.
        write: writes the response; None stands for a call without texts.

    Raises:
        HTTPError: as `parse` and `Service.answer`.
        MlmfastError: as `Service.answer`, or the answer is too large.
        BudgetFullError: too many answers are written, or wait for clients to read them.
    """
    call, parsed = await parse_request(service, request, parse)
    answered = await service.answer(call, request.scope["record"])

    def written() -> Response:
        response = write(parsed, answered)
        if len(response.body) > service.settings.max_answer:
            raise AnswerTooLargeError(service.settings.max_answer)
        return compressed(request, response)

    size = answered.characters if answered else 0
    with service.answers.hold(None) as holding:
        if size > LARGE_BYTES:  # rows take several times the room of their text
            holding.resize(size)
        return await service.large_work.run(size, written)


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
        record = request.scope["record"]

        def parse(content: bytes) -> tuple[Call, Body]:
            body = parse_body(body_type, content)
            return call(body, _texts(body)), body

        def write(body: Body, response: InferenceResponse | None) -> Response:
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
            return json_response(content)

        if accepts_lines(request):
            _, body = await parse_request(service, request, parse)
            stream = AnswerStream(
                service, record, _texts(body), partial(call, body), partial(answers, body)
            )
            return await stream.response()
        return await answer_request(service, request, parse, write)

    return Route(path, endpoint, methods=["POST"])


def _texts(body: TextsRequest) -> list[str]:
    return [body.inputs] if isinstance(body.inputs, str) else body.inputs


def truncation_kwargs(truncate: bool) -> dict[str, Any] | None:
    """Return the tokenizer keywords for an endpoint's option `truncate`."""
    return {"truncation": "around_mask"} if truncate else None
