"""Run one batch of questions that belong to several requests, and finish their tickets."""

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

OWN = OutputSpec(own=True)


def run_batch(
    engine: Engine, places: Sequence[QueueEntry], session: Any
) -> list[Predictions | MlmfastError]:
    """Run a batch; where that fails, each text by itself, so that one does not fail the others."""
    questions = [place.question for place in places]
    try:
        return list(engine.ask(session, questions, OWN))
    except MlmfastError as error:
        if len(places) == 1:
            return [error]
    return [_run_alone(engine, question, session) for question in questions]


def _run_alone(engine: Engine, question: MaskedText, session: Any) -> Predictions | MlmfastError:
    try:
        return engine.ask(session, [question], OWN)[0]
    except MlmfastError as error:
        return error


def answered_of(ticket: InferenceRequest, model: Model) -> InferenceResponse:
    """Write the answers of a ticket whose questions are all found, or whose steps are all done."""
    asked, work = ticket.asked, ticket.work
    if isinstance(asked, FillMaskTask):
        answers = [
            asked.answer(question, found, model.decoder)
            for question, found in zip(ticket.questions, ticket.found, strict=True)
            if found is not None
        ]
    else:
        answers = work.answers if work else []
    begun = ticket.begun or ticket.arrived
    return InferenceResponse(
        answers=answers,
        masks=work.masks if work else [len(question.masks) for question in ticket.questions],
        tokens=work.tokens if work else sum(len(question.ids) for question in ticket.questions),
        queue_seconds=begun - ticket.arrived,
        run_seconds=time.perf_counter() - begun,
    )


def report_of(places: Sequence[QueueEntry], seconds: float) -> BatchReport:
    """Tell what a batch held."""
    lengths = [len(place.question.ids) for place in places]
    tokens = sum(lengths)
    return BatchReport(len(places), tokens, len(lengths) * max(lengths) - tokens, seconds)


def finish(ticket: InferenceRequest, answered: InferenceResponse) -> None:
    """Give a ticket its answer."""
    with suppress(InvalidStateError):  # its client has gone
        ticket.future.set_result(answered)


def fail(ticket: InferenceRequest, error: Exception) -> None:
    """Give a ticket an error in place of its answer."""
    with suppress(InvalidStateError):  # its client has gone, or another of its texts failed
        ticket.future.set_exception(error)
