"""What the routes of our own protocol have in common: a body of one form in, answers out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from mlmfast.serving.http.errors import bad_body
from mlmfast.serving.http.responses import compressed, json_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from mlmfast.serving.http.protocols.requests import Call
    from mlmfast.serving.http.service import Service
    from mlmfast.serving.scheduler.request import InferenceResponse

Form = TypeVar("Form", bound=BaseModel)


class Timing(BaseModel):
    """Milliseconds."""

    queue_ms: float = Field(description="From the request's arrival until it was run.")
    run_ms: float = Field(description="From then until its last text was answered.")
    total_ms: float = Field(description="The whole request within the server.")


def json_endpoint(
    service: Service,
    form: type[Form],
    call: Callable[[Form, list[str]], Call],
    answers: Callable[[Form, InferenceResponse], list[Any]],
) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint.

    Args:
        service: what answers.
        form: of the body; it has `inputs`, a text or a list of texts.
        question: what a body and its texts ask.
        answers: writes for each text its answer.
    """

    async def endpoint(request: Request) -> Response:
        begun = time.perf_counter()
        try:
            body = form.model_validate_json(request.scope["body"])
        except ValidationError as error:
            raise bad_body(error) from None
        inputs: str | list[str] = body.inputs  # type: ignore[attr-defined]
        texts = [inputs] if isinstance(inputs, str) else inputs
        record = request.scope["record"]
        response = await service.answer(call(body, texts), record)
        content = {
            "model": record.model,
            "answers": answers(body, response) if response else [],
            "tokens": record.tokens,
            "timing": {
                "queue_ms": round(record.queue_seconds * 1e3, 3),
                "run_ms": round(record.run_seconds * 1e3, 3),
                "total_ms": round((time.perf_counter() - begun) * 1e3, 3),
            },
        }
        return compressed(request, json_response(content))

    return endpoint


def truncation_kwargs(truncate: bool) -> dict[str, Any] | None:
    """Return the keywords that cut a text around its masks, or leave it."""
    return {"truncation": "around_mask"} if truncate else None
