"""What all protocols stand on: the models, whether the server takes requests, and one answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlmfast.serving.http.errors import HTTPError
from mlmfast.serving.http.metrics import Metrics
from mlmfast.serving.http.registry import ModelRegistry
from mlmfast.serving.scheduler.queue import ClosedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlmfast.serving.http.protocols.requests import Call
    from mlmfast.serving.http.registry import ServedModel
    from mlmfast.serving.http.settings import ServeSettings
    from mlmfast.serving.scheduler.request import InferenceRequest, InferenceResponse

# Requests in hand, in every state: each may hold a body.
_MOST_REQUESTS = 4096


@dataclass(slots=True)
class Record:
    """What is known of a request, for its log line and the metrics.

    Attributes:
        request_id: the client's own, or a random one.
        traceparent: that of the client, where it is well formed.
        protocol: "fill-mask", "v1", "v2" or "operations".
        model: its name; empty until it is found.
        texts: how many it asks about.
        tokens: of all its texts.
        queue_seconds: as in `Answered`.
        run_seconds: as in `Answered`.
        reason: why it failed.
    """

    request_id: str
    traceparent: str | None = None
    protocol: str = "operations"
    model: str = ""
    texts: int = 0
    tokens: int = 0
    queue_seconds: float = 0.0
    run_seconds: float = 0.0
    reason: str | None = None


class Service:
    """The models of one process, and its state.

    Attributes:
        settings: what the server was told.
        metrics: who counts.
        models: what answers.
        draining: whether it takes no more requests because it will stop.
        in_hand: requests that were taken and are not answered.
        reload_all: begins to load all models anew, in every worker, and returns at once.
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

    @property
    def state(self) -> str:
        """One of "loading", "ready" and "draining"."""
        if self.draining:
            return "draining"
        return "ready" if self.models.ready else "loading"

    def require_open(self) -> None:
        """Refuse requests while the server stops, or has too many in hand.

        Raises:
            Problem: it does.
        """
        if self.in_hand > _MOST_REQUESTS:
            raise HTTPError(
                429, "too_many_requests", "The server has too many requests in hand.", retry_after=1
            )
        if self.draining:
            raise HTTPError(503, "draining", "The server is stopping: ask another.", retry_after=1)

    async def answer(self, call: Call, record: Record) -> InferenceResponse | None:
        """Answer a call; None for one without texts.

        Cancelling this takes the request out of the queue.

        Raises:
            HTTPError: the model is not there or not ready, the request is too large, or its time
                is over.
            MlmfastError: a text cannot be asked, the queue is full, or the model failed.
        """
        served = self.models.get(call.model)
        record.model = served.name
        record.texts = len(call.texts)
        most = self.settings.max_texts
        if len(call.texts) > most:
            raise HTTPError(
                422,
                "too_many_texts",
                f"The request has {len(call.texts):,} texts, and one may have at most {most:,}.",
            )
        request = await self._submit(served, call)
        if request is None:
            return None
        self.metrics.texts_in_hand(served.name, served.texts)
        try:
            async with asyncio.timeout(self.settings.request_timeout):
                response = await asyncio.wrap_future(request.future)
        except TimeoutError:
            raise HTTPError(
                504,
                "timeout",
                f"The request was not answered within {self.settings.request_timeout:g} s.",
                retry_after=1,
            ) from None
        finally:
            self.metrics.texts_in_hand(served.name, served.texts)
        record.tokens = response.tokens
        record.queue_seconds = response.queue_seconds
        record.run_seconds = response.run_seconds
        self.metrics.texts_are_answered(served.name, len(call.texts))
        return response

    async def _submit(self, served: ServedModel, call: Call) -> InferenceRequest | None:
        """Put a question into the queue of the model that has checked its options."""
        while True:
            model, scheduler = served.serving()
            task = await call.task(model)
            if not call.texts:
                return None
            try:
                return scheduler.submit(call.texts, task)
            except ClosedError:
                if served.serving()[1] is scheduler:  # the server stops
                    raise
