"""Run one batch of masked texts, which may belong to several requests, and answer the requests."""

from __future__ import annotations

import time
from concurrent.futures import InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mlmfast.errors import MlmfastError
from mlmfast.serving.scheduler.queue import AnswerTooLargeError
from mlmfast.serving.scheduler.request import BatchReport, InferenceResponse
from mlmfast.serving.tasks.one_pass import OnePassTask
from mlmfast.serving.tasks.rows import answer_characters
from mlmfast.serving.types import MaskedText, OutputSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.serving.engine.engine import Engine
    from mlmfast.serving.engine.model import Model
    from mlmfast.serving.scheduler.queue import QueueEntry
    from mlmfast.serving.scheduler.request import InferenceRequest
    from mlmfast.serving.types import Result, Text

_PER_TEXT = OutputSpec(per_text=True)


def run_batch(
    engine: Engine, entries: Sequence[QueueEntry], session: Any
) -> list[Result | MlmfastError]:
    """Run a batch; if it fails, run each text by itself, so that one does not fail the others."""
    masked_texts = [entry.masked_text for entry in entries]
    try:
        return list(engine.run_batch(session, masked_texts, _PER_TEXT))
    except MlmfastError as error:
        if len(entries) == 1:
            return [error]
    return [_run_single(engine, masked_text, session) for masked_text in masked_texts]


def _run_single(engine: Engine, masked_text: Text, session: Any) -> Result | MlmfastError:
    try:
        return engine.run_batch(session, [masked_text], _PER_TEXT)[0]
    except MlmfastError as error:
        return error


def response_of(
    request: InferenceRequest, model: Model, max_bytes: int | None = None
) -> InferenceResponse:
    """Write the response to a request whose predictions, or steps, are complete.

    Args:
        request: the request.
        model: the model.
        max_bytes: how large it may become; None: as large as it is.

    Raises:
        AnswerTooLargeError: it is larger.
    """
    task, state = request.task, request.multi_step
    answers: list[Any] = []
    size = 0
    if isinstance(task, OnePassTask):
        for masked_text, predictions in zip(request.masked_texts, request.predictions, strict=True):
            if predictions is None:
                continue
            write: Any = task.answer  # each task takes its own kind of texts
            answers.append(write(masked_text, predictions, model.decoder))
            size += answer_characters(answers[-1])
            if max_bytes is not None and size > max_bytes:
                raise AnswerTooLargeError(max_bytes)
    elif state:
        answers = state.answers
        size = sum(map(answer_characters, answers))
        if max_bytes is not None and size > max_bytes:
            raise AnswerTooLargeError(max_bytes)
    if state:
        masks, tokens = state.masks, state.tokens
    else:
        masks = [
            len(text.masks) if isinstance(text, MaskedText) else 0 for text in request.masked_texts
        ]
        tokens = sum(len(masked_text.ids) for masked_text in request.masked_texts)
    started = request.started or request.arrived
    return InferenceResponse(
        answers=answers,
        characters=size,
        masks=masks,
        tokens=tokens,
        queue_seconds=started - request.arrived,
        run_seconds=time.perf_counter() - started,
        model=model,
    )


def report_of(entries: Sequence[QueueEntry], seconds: float) -> BatchReport:
    """Report the size of a batch and the time it took."""
    lengths = [len(entry.masked_text.ids) for entry in entries]
    tokens = sum(lengths)
    return BatchReport(len(entries), tokens, len(lengths) * max(lengths) - tokens, seconds)


def finish(request: InferenceRequest, response: InferenceResponse) -> None:
    """Give a request its response."""
    with suppress(InvalidStateError):  # the client has cancelled it
        request.future.set_result(response)


def fail(request: InferenceRequest, error: Exception) -> None:
    """Give a request an error in place of its response."""
    with suppress(InvalidStateError):  # the client has cancelled it, or another text failed first
        request.future.set_exception(error)
