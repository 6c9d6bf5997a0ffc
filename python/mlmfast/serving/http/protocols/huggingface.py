"""Hugging Face's protocol: POST / and POST /models/NAME, the rows of `pipeline("fill-mask")`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.routing import Route

from mlmfast.serving.http.protocols.body import parse_body
from mlmfast.serving.http.protocols.endpoint import Strings, TopK, answer_request
from mlmfast.serving.http.protocols.requests import FillMaskCall
from mlmfast.serving.http.responses import json_response

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from mlmfast.serving.http.service import Service
    from mlmfast.serving.scheduler.request import InferenceResponse


class TokenizerKwargs(BaseModel):
    """How texts become ids."""

    model_config = ConfigDict(extra="forbid")

    add_special_tokens: bool = Field(default=True, strict=True)
    truncation: (
        Annotated[bool, Field(strict=True)]
        | Literal["around_mask", "longest_first", "only_first", "do_not_truncate"]
        | None
    ) = Field(default=None, description="around_mask cuts both ends, so that the masks stay.")
    max_length: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = Field(
        default=None, description="Tokens to cut to; alone, it means truncation too."
    )


class FillMaskParameters(BaseModel):
    """The options of a request, as those of the pipeline."""

    model_config = ConfigDict(extra="forbid")

    top_k: TopK | None = Field(default=None, description="Rows a mask gets. Default: 5.")
    targets: Strings | str | None = Field(
        default=None, description="Words to choose from, in place of the whole vocabulary."
    )
    tokenizer_kwargs: TokenizerKwargs | None = None


class FillMaskRequest(BaseModel):
    """What `huggingface_hub.InferenceClient.fill_mask` sends."""

    # `options` (use_cache, wait_for_model) comes from old clients and means nothing here.
    model_config = ConfigDict(extra="ignore")

    inputs: str | Strings = Field(description="A text with masks, or a list of texts.")
    parameters: FillMaskParameters | None = None


def routes(service: Service) -> list[Route]:
    """Return this protocol's routes."""

    async def fill_mask(request: Request) -> Response:
        model = request.path_params.get("model")
        return await answer_request(
            service, request, lambda body: (_call(model, body), None), _write
        )

    return [
        Route("/", fill_mask, methods=["POST"]),
        Route("/models/{model}", fill_mask, methods=["POST"]),
    ]


def _call(model: str | None, content: bytes) -> FillMaskCall:
    body = parse_body(FillMaskRequest, content)
    parameters = body.parameters or FillMaskParameters()
    targets = parameters.targets
    kwargs = parameters.tokenizer_kwargs
    return FillMaskCall(
        model,
        [body.inputs] if isinstance(body.inputs, str) else body.inputs,
        parameters.top_k,
        [targets] if isinstance(targets, str) else targets,
        kwargs.model_dump(exclude_unset=True) if kwargs else None,
    )


def _write(_parsed: None, response: InferenceResponse | None) -> Response:
    answers = response.answers if response else []
    # As in the pipeline, a list of one text gives the answer of that text.
    return json_response(answers[0] if len(answers) == 1 else answers)
