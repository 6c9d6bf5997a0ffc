"""Run one batch of masked texts that belong to several requests, and finish their requests."""

from __future__ import annotations

import time
from concurrent.futures import InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mlmfast.errors import MlmfastError
from mlmfast.serving.scheduler.request import BatchReport, InferenceResponse
from mlmfast.serving.tasks.fill_mask import FillMaskTask
from mlmfast.serving.types import OutputSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.serving.engine.engine import Engine
    from mlmfast.serving.engine.model import Model
    from mlmfast.serving.scheduler.queue import QueueEntry
    from mlmfast.serving.scheduler.request import InferenceRequest
    from mlmfast.serving.types import MaskedText, Predictions

_OWN = OutputSpec(own=True)


def run_batch(
    engine: Engine, entries: Sequence[QueueEntry], session: Any
) -> list[Predictions | MlmfastError]:
    """Run a batch; where that fails, each text by itself, so that one does not fail the others."""
    masked_texts = [entry.masked_text for entry in entries]
    try:
        return list(engine.ask(session, masked_texts, _OWN))
    except MlmfastError as error:
        if len(entries) == 1:
            return [error]
    return [_run_alone(engine, masked_text, session) for masked_text in masked_texts]


def _run_alone(engine: Engine, masked_text: MaskedText, session: Any) -> Predictions | MlmfastError:
    try:
        return engine.ask(session, [masked_text], _OWN)[0]
    except MlmfastError as error:
        return error


def response_of(request: InferenceRequest, model: Model) -> InferenceResponse:
    """Write the answers of a request whose masked texts are all predicted, or steps all done."""
    task, work = request.task, request.work
    if isinstance(task, FillMaskTask):
        answers = [
            task.answer(masked_text, predictions, model.decoder)
            for masked_text, predictions in zip(
                request.masked_texts, request.predictions, strict=True
            )
            if predictions is not None
        ]
    else:
        answers = work.answers if work else []
    begun = request.begun or request.arrived
    return InferenceResponse(
        answers=answers,
        masks=work.masks
        if work
        else [len(masked_text.masks) for masked_text in request.masked_texts],
        tokens=work.tokens
        if work
        else sum(len(masked_text.ids) for masked_text in request.masked_texts),
        queue_seconds=begun - request.arrived,
        run_seconds=time.perf_counter() - begun,
    )


def report_of(entries: Sequence[QueueEntry], seconds: float) -> BatchReport:
    """Tell what a batch held."""
    lengths = [len(entry.masked_text.ids) for entry in entries]
    tokens = sum(lengths)
    return BatchReport(len(entries), tokens, len(lengths) * max(lengths) - tokens, seconds)


def finish(request: InferenceRequest, response: InferenceResponse) -> None:
    """Give a request its answer."""
    with suppress(InvalidStateError):  # its client has gone
        request.future.set_result(response)


def fail(request: InferenceRequest, error: Exception) -> None:
    """Give a request an error in place of its answer."""
    with suppress(InvalidStateError):  # its client has gone, or another of its texts failed
        request.future.set_exception(error)
