"""What all protocols share: the models, the state of the server, and the answer to a call."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

from mlmfast.serving.http.errors import HTTPError, TextTooLongError
from mlmfast.serving.http.keys import ApiKeys
from mlmfast.serving.http.memory import ByteBudget
from mlmfast.serving.http.offload import LargeWork
from mlmfast.serving.http.record import PRIORITIES
from mlmfast.serving.http.registry import ModelRegistry
from mlmfast.serving.http.telemetry.metrics import Metrics
from mlmfast.serving.scheduler.queue import ClosedError
from mlmfast.serving.scheduler.share import Share

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlmfast.serving.http.protocols.requests import Call
    from mlmfast.serving.http.record import Record
    from mlmfast.serving.http.registry import ServedModel
    from mlmfast.serving.http.settings import ServeSettings
    from mlmfast.serving.http.telemetry.traces import Traces
    from mlmfast.serving.scheduler.request import InferenceRequest, InferenceResponse

# Requests in hand, whatever their state: each may hold a body.
_MAX_REQUESTS = 4096


class Service:
    """The models of one process, and its state.

    Attributes:
        settings: the settings.
        metrics: the metrics.
        models: the models.
        draining: whether it accepts no more requests because it will stop.
        in_hand: requests that were accepted and are not answered yet.
        reload_all: starts to reload all models, in every worker, and returns at once.
        beat_at: when the event loop last turned, by `time.monotonic`; infinite where nobody looks.
        keys: the API keys.
        bodies: the bodies of all requests in hand.
        answers: the large answers that clients are reading.
        traces: the traces of requests; None where there are none.
        large_work: runs what would hold up the event loop.
    """

    def __init__(
        self, settings: ServeSettings, threads: int | None, reload_all: Callable[[], None]
    ):
        self.settings = settings
        self.metrics = Metrics()
        self.models = ModelRegistry(settings, threads, self.metrics)
        self.draining = False
        self.in_hand = 0
        self.reload_all = reload_all
        self.beat_at = float("inf")
        self.keys = ApiKeys(settings)
        self.bodies = ByteBudget(settings.max_bodies, self.metrics.set_body_bytes)
        self.answers = ByteBudget(settings.max_answers, self.metrics.set_answer_bytes)
        self.large_work = LargeWork()
        self.traces = _start_traces() if settings.traces else None

    @property
    def state(self) -> str:
        """One of "loading", "ready" and "draining"."""
        if self.draining:
            return "draining"
        return "ready" if self.models.ready else "loading"

    @property
    def is_alive(self) -> bool:
        """Whether the event loop has turned within `worker_timeout`."""
        return time.monotonic() - self.beat_at < self.settings.worker_timeout

    def metrics_text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        self.models.update_metrics()
        return self.metrics.text()

    def require_open(self) -> None:
        """Refuse a request while the server stops, or has too many in hand.

        Raises:
            HTTPError: the request is refused.
        """
        if self.in_hand > _MAX_REQUESTS:
            raise HTTPError(
                429,
                "too_many_requests",
                "The server has too many requests in progress.",
                retry_after=1,
            )
        if self.draining:
            raise HTTPError(
                503, "draining", "The server is stopping: send this to another.", retry_after=1
            )

    def reload(self) -> None:
        """Read the file of keys again, and reload all models."""
        self.keys.reload()
        self.models.reload()

    async def answer(self, call: Call, record: Record) -> InferenceResponse | None:
        """Answer a call; None for one without texts.

        Cancelling this takes the request out of the queue.

        Raises:
            HTTPError: there is no such model or it is not ready, the request is too large, or it
                timed out.
            MlmfastError: a text cannot be used, the queue is full, or the model failed.
        """
        served = self.models.get(call.model)
        record.model = served.name
        record.texts = len(call.texts)
        max_texts = self.settings.max_texts
        if len(call.texts) > max_texts:
            raise HTTPError(
                422,
                "too_many_texts",
                f"The request has {len(call.texts):,} texts, and one may have at most "
                f"{max_texts:,}.",
            )
        self._check_characters(call)
        if record.key is not None:
            record.key.take_texts(len(call.texts))
        started = time.perf_counter()
        try:
            response = await self._answer(served, call, record)
        except BaseException:
            served.statistics.count_failure(time.perf_counter() - started)
            raise
        finally:
            if record.key is not None:
                record.key.release_texts(len(call.texts))
        if response is not None:
            seconds = time.perf_counter() - started
            served.statistics.count_success(len(call.texts), seconds, response)
        return response

    def seconds_for(self, record: Record) -> float:
        """Return the time a request has: what its client gives it, at most `request_timeout`."""
        return min(record.timeout or math.inf, self.settings.request_timeout)

    async def _answer(
        self, served: ServedModel, call: Call, record: Record
    ) -> InferenceResponse | None:
        request = await self._submit(served, call, record)
        if request is None:
            return None
        self.metrics.set_texts_in_hand(served.name, served.texts)
        seconds = self.seconds_for(record)
        try:
            async with asyncio.timeout(seconds):
                response = await asyncio.wrap_future(request.future)
        except TimeoutError:
            raise HTTPError(
                504,
                "timeout",
                f"The request was not answered within {seconds:g} s.",
                retry_after=1,
            ) from None
        finally:
            self.metrics.set_texts_in_hand(served.name, served.texts)
        record.tokens = response.tokens
        record.queue_seconds = response.queue_seconds
        record.run_seconds = response.run_seconds
        self.metrics.count_texts(served.name, len(call.texts), record.key_name)
        return response

    def _check_characters(self, call: Call) -> None:
        max_characters = self.settings.max_characters
        for number, text in enumerate(call.texts, 1):
            if len(text) > max_characters:
                name = "The text" if len(call.texts) == 1 else f"Text {number}"
                raise TextTooLongError(
                    f"{name} has {len(text):,} characters, and one may have at most "
                    f"{max_characters:,}.",
                )

    async def _submit(
        self, served: ServedModel, call: Call, record: Record
    ) -> InferenceRequest | None:
        """Submit a call to the version of the model that has checked its options."""
        share = Share(record.client, PRIORITIES[record.priority])
        while True:
            model, scheduler = served.serving()
            task = await call.task(model)
            if not call.texts:
                return None
            record.submitted = time.perf_counter()
            try:
                return scheduler.submit(call.texts, task, share)
            except ClosedError:
                if served.serving()[1] is scheduler:  # not replaced: the server stops
                    raise


def _start_traces() -> Traces:
    from mlmfast.serving.http.telemetry.traces import (
        Traces,  # OpenTelemetry is optional, and takes a while
    )

    return Traces()
