"""Tokenize the texts of several requests at once."""

from __future__ import annotations

import logging
from itertools import groupby
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError, MlmfastError
from mlmfast.serving.scheduler.queue import TooManyPassesError, TooManyRowsError
from mlmfast.serving.scheduler.request import MultiStepState
from mlmfast.serving.tasks.base import interleave
from mlmfast.serving.tasks.one_pass import OnePassTask
from mlmfast.serving.text.encode import raise_first_error
from mlmfast.serving.types import MaskedText, Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.serving.engine.model import Model
    from mlmfast.serving.scheduler.queue import QueueLimits
    from mlmfast.serving.scheduler.request import InferenceRequest
    from mlmfast.serving.tasks.base import Task

logger = logging.getLogger(__name__)


def tokenize_requests(
    requests: Sequence[InferenceRequest], model: Model, limits: QueueLimits
) -> list[tuple[InferenceRequest, list[Text] | Exception]]:
    """Tokenize the texts of all requests; those with equal tokenizer options share a call.

    Returns:
        Each request with its masked texts, or with the error of its first text that cannot be used.
        A multi-step request gets its `multi_step` state instead, and no masked texts yet.
    """
    tokenized: list[tuple[InferenceRequest, list[Text] | Exception]] = []
    for _, group in groupby(sorted(requests, key=_encode_key), key=_encode_key):
        alike = list(group)
        try:
            tokenized += _tokenize_alike(alike, model, limits)
        except BaseException:  # noqa: BLE001 - a panic of the tokenizer is no Exception
            tokenized += [(request, _tokenize_single(request, model, limits)) for request in alike]
    return tokenized


def _tokenize_single(
    request: InferenceRequest, model: Model, limits: QueueLimits
) -> list[Text] | Exception:
    try:
        return _tokenize_alike([request], model, limits)[0][1]
    except BaseException as error:
        logger.exception("A text could not be tokenized")
        return MlmfastError(f"The tokenizer failed: {error}")


def _tokenize_alike(
    requests: Sequence[InferenceRequest], model: Model, limits: QueueLimits
) -> list[tuple[InferenceRequest, list[Text] | Exception]]:
    texts = [text for request in requests for text in request.texts]
    names = [
        request.text_name(index) for request in requests for index in range(len(request.texts))
    ]
    encoded = iter(requests[0].task.encode(texts, model, names=lambda number: names[number - 1]))
    return [
        (request, _masked_texts(request, [next(encoded) for _ in request.texts], model, limits))
        for request in requests
    ]


def _encode_key(request: InferenceRequest) -> str:
    """Return what the encoding of a request's texts depends on."""
    task = request.task
    return f"{type(task).__name__} {task.encode_key!r}"


def _masked_texts(
    request: InferenceRequest, encoded: Sequence[Any], model: Model, limits: QueueLimits
) -> list[Text] | Exception:
    task = request.task
    try:
        texts = raise_first_error(encoded)
        if isinstance(task, OnePassTask):
            _check_rows(task.answer_rows(texts), limits)
            return [task.with_options(text) for text in texts]
        request.multi_step = _multi_step_state(task, texts, model, limits)
    except InputError as error:
        return error
    return []


def _multi_step_state(
    task: Task, texts: Sequence[Any], model: Model, limits: QueueLimits
) -> MultiStepState:
    _check_rows(sum(task.rows(text) for text in texts), limits)
    passes = sum(task.passes(text) for text in texts)
    if passes > limits.max_passes:
        raise TooManyPassesError(
            f"The request needs {passes:,} passes of the model, {task.cost_unit}, and one may need "
            f"at most {limits.max_passes:,}: ask for less, or in several requests."
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
