"""Tokenize the texts of several requests at once."""

from __future__ import annotations

import logging
from itertools import groupby
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError, MlmfastError
from mlmfast.serving.scheduler.queue import (
    TooManyPassesError,
    TooManyRowsError,
)
from mlmfast.serving.scheduler.request import MultiStepState
from mlmfast.serving.tasks.base import interleave
from mlmfast.serving.tasks.fill_mask import FillMaskTask
from mlmfast.serving.text.encode import raise_first_error
from mlmfast.serving.types import MaskedText

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.serving.engine.model import Model
    from mlmfast.serving.scheduler.queue import QueueLimits
    from mlmfast.serving.scheduler.request import InferenceRequest
    from mlmfast.serving.tasks.base import Task


logger = logging.getLogger(__name__)


def read_tickets(
    tickets: Sequence[InferenceRequest], model: Model, limits: QueueLimits
) -> list[tuple[InferenceRequest, list[MaskedText] | Exception]]:
    """Tokenize all texts of `tickets`; requests whose texts are read alike share a call.

    Returns:
        Each ticket with its questions, which know what is asked of them, or with what is wrong with
        the first of its texts that cannot be asked. A ticket whose texts are answered in steps gets
        its work, and has no question before that begins.
    """
    read: list[tuple[InferenceRequest, list[MaskedText] | Exception]] = []
    for _, same in groupby(sorted(tickets, key=_reading), key=_reading):
        together = list(same)
        try:
            read += _read_together(together, model, limits)
        except BaseException:  # noqa: BLE001 - a panic of the tokenizer is no Exception
            read += [(ticket, _read_alone(ticket, model, limits)) for ticket in together]
    return read


def _read_alone(
    ticket: InferenceRequest, model: Model, limits: QueueLimits
) -> list[MaskedText] | Exception:
    try:
        return _read_together([ticket], model, limits)[0][1]
    except BaseException as error:
        logger.exception("A text could not be tokenized")
        return MlmfastError(f"The tokenizer failed: {error}")


def _read_together(
    tickets: Sequence[InferenceRequest], model: Model, limits: QueueLimits
) -> list[tuple[InferenceRequest, list[MaskedText] | Exception]]:
    texts = [text for ticket in tickets for text in ticket.texts]
    names = [ticket.name(place) for ticket in tickets for place in range(len(ticket.texts))]
    found = iter(tickets[0].asked.read(texts, model, names=lambda number: names[number - 1]))
    return [
        (ticket, _questions(ticket, [next(found) for _ in ticket.texts], model, limits))
        for ticket in tickets
    ]


def _reading(ticket: InferenceRequest) -> str:
    """What decides how the texts of a request are read."""
    asked = ticket.asked
    return f"{type(asked).__name__} {asked.reading!r}"


def _questions(
    ticket: InferenceRequest, read: Sequence[Any], model: Model, limits: QueueLimits
) -> list[MaskedText] | Exception:
    asked = ticket.asked
    try:
        texts = raise_first_error(read)
        if isinstance(asked, FillMaskTask):
            _check_rows(asked.rows * sum(len(text.masks) for text in texts), limits)
            return [asked.of(text) for text in texts]
        ticket.work = _work(asked, texts, model, limits)
    except InputError as error:
        return error
    return []


def _work(asked: Task, texts: Sequence[Any], model: Model, limits: QueueLimits) -> MultiStepState:
    _check_rows(sum(asked.rows(text) for text in texts), limits)
    passes = sum(asked.passes(text) for text in texts)
    if passes > limits.max_passes:
        raise TooManyPassesError(
            f"The request needs {passes:,} passes of the model, {asked.price}, and one may need at "
            f"most {limits.max_passes:,}: ask for less, or in several requests."
        )
    return MultiStepState(
        steps=interleave([asked.steps(text, model) for text in texts]),
        passes=passes,
        masks=[len(text.masks) if isinstance(text, MaskedText) else 0 for text in texts],
        tokens=sum(len(text.ids) for text in texts),
    )


def _check_rows(rows: int, limits: QueueLimits) -> None:
    if rows > limits.max_rows:
        raise TooManyRowsError(
            f"The answer would have {rows:,} rows, masks times top_k, and one request is given at "
            f"most {limits.max_rows:,}: ask for a smaller top_k, or for fewer masks."
        )
