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
    requests: Sequence[InferenceRequest], model: Model, limits: QueueLimits
) -> list[tuple[InferenceRequest, list[MaskedText] | Exception]]:
    """Tokenize all texts of `requests`; requests whose texts are read alike share a call.

    Returns:
        Each request with its masked texts, which know what is asked of them, or with what is wrong
        with the first of its texts that cannot be asked. A request whose texts are answered in
        steps gets its work, and has no masked text before that begins.
    """
    read: list[tuple[InferenceRequest, list[MaskedText] | Exception]] = []
    for _, same in groupby(sorted(requests, key=_reading), key=_reading):
        together = list(same)
        try:
            read += _read_together(together, model, limits)
        except BaseException:  # noqa: BLE001 - a panic of the tokenizer is no Exception
            read += [(request, _read_alone(request, model, limits)) for request in together]
    return read


def _read_alone(
    request: InferenceRequest, model: Model, limits: QueueLimits
) -> list[MaskedText] | Exception:
    try:
        return _read_together([request], model, limits)[0][1]
    except BaseException as error:
        logger.exception("A text could not be tokenized")
        return MlmfastError(f"The tokenizer failed: {error}")


def _read_together(
    requests: Sequence[InferenceRequest], model: Model, limits: QueueLimits
) -> list[tuple[InferenceRequest, list[MaskedText] | Exception]]:
    texts = [text for request in requests for text in request.texts]
    names = [request.name(entry) for request in requests for entry in range(len(request.texts))]
    predictions = iter(requests[0].task.read(texts, model, names=lambda number: names[number - 1]))
    return [
        (request, _masked_texts(request, [next(predictions) for _ in request.texts], model, limits))
        for request in requests
    ]


def _reading(request: InferenceRequest) -> str:
    """What decides how the texts of a request are read."""
    task = request.task
    return f"{type(task).__name__} {task.reading!r}"


def _masked_texts(
    request: InferenceRequest, read: Sequence[Any], model: Model, limits: QueueLimits
) -> list[MaskedText] | Exception:
    task = request.task
    try:
        texts = raise_first_error(read)
        if isinstance(task, FillMaskTask):
            _check_rows(task.rows * sum(len(text.masks) for text in texts), limits)
            return [task.of(text) for text in texts]
        request.work = _work(task, texts, model, limits)
    except InputError as error:
        return error
    return []


def _work(task: Task, texts: Sequence[Any], model: Model, limits: QueueLimits) -> MultiStepState:
    _check_rows(sum(task.rows(text) for text in texts), limits)
    passes = sum(task.passes(text) for text in texts)
    if passes > limits.max_passes:
        raise TooManyPassesError(
            f"The request needs {passes:,} passes of the model, {task.price}, and one may need at "
            f"most {limits.max_passes:,}: ask for less, or in several requests."
        )
    return MultiStepState(
        steps=interleave([task.steps(text, model) for text in texts]),
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
