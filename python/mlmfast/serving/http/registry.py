"""The models that are served, by name; each can be loaded anew while the old one still answers."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from mlmfast.errors import MlmfastError
from mlmfast.serving.engine.model import open_model
from mlmfast.serving.http.errors import HTTPError
from mlmfast.serving.scheduler.queue import QueueLimits
from mlmfast.serving.scheduler.scheduler import Scheduler
from mlmfast.serving.tasks.fill_mask import fill_mask_task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmfast.serving.engine.model import Model
    from mlmfast.serving.http.metrics import Metrics
    from mlmfast.serving.http.settings import ModelSource, ServeSettings

logger = logging.getLogger(__name__)

# What is asked before a model is called ready: a lone text, and enough for every core.
_WARM_UP_TOKENS = 64


class ServedModel:
    """One name, and what answers for it now.

    Attributes:
        name: what requests call it.
        loads: how often it was loaded.
    """

    def __init__(
        self, source: ModelSource, settings: ServeSettings, threads: int | None, metrics: Metrics
    ):
        self.name = source.name
        self.loads = 0
        self._folder = source.folder
        self._settings = settings
        self._threads = threads
        self._metrics = metrics
        self._loading = threading.Lock()
        self._now: tuple[Model, Scheduler] | None = None

    @property
    def ready(self) -> bool:
        """Whether it answers."""
        return self._now is not None

    @property
    def model(self) -> Model:
        """What answers now.

        Raises:
            Problem: nothing does yet.
        """
        return self.serving()[0]

    @property
    def texts(self) -> int:
        """Texts in hand."""
        return self._now[1].texts if self._now else 0

    def load(self) -> None:
        """Open the folder as it is now, warm up, and answer with it; requests in hand stay.

        Raises:
            MlmfastError: the folder cannot be opened; what answered before still does.
        """
        with self._loading:
            begun = time.perf_counter()
            try:
                fresh = self._open()
            except MlmfastError:
                self._metrics.model_was_loaded(self.name, well=False)
                raise
            old, self._now = self._now, fresh
            self.loads += 1
            self._metrics.model_was_loaded(self.name, well=True)
            logger.info(
                "%s is ready after %.1f s, on %s",
                self.name,
                time.perf_counter() - begun,
                fresh[0].engine.device,
            )
            if old:
                old[1].close()

    def abandon(self) -> None:
        """Fail what is in hand, and take no more."""
        if self._now:
            self._now[1].abandon()

    def serving(self) -> tuple[Model, Scheduler]:
        """Return what answers now, and its queue.

        Raises:
            Problem: nothing does yet.
        """
        now = self._now
        if now is None:
            raise HTTPError(503, "loading", f"The model {self.name} is loading.", retry_after=5)
        return now

    def _open(self) -> tuple[Model, Scheduler]:
        settings = self._settings
        model = open_model(
            self._folder,
            device=settings.device,
            threads=self._threads,
            batching=settings.batching,
            batch_tokens=settings.max_batch_tokens,
            longest=settings.max_tokens,
        )
        limits = QueueLimits(
            settings.max_queue,
            settings.max_delay_ms / 1000,
            settings.max_rows,
            settings.max_passes,
        )
        _warm_up(model, QueueLimits())
        return model, Scheduler(model, limits, self._metrics.watch(self.name))


class ModelRegistry:
    """All models of a server.

    Attributes:
        default: the name that stands for requests which name no model.
    """

    def __init__(self, settings: ServeSettings, threads: int | None, metrics: Metrics):
        self._metrics = metrics
        self._by_name = {
            source.name: ServedModel(source, settings, threads, metrics)
            for source in settings.models
        }
        self.default = settings.models[0].name

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._by_name.values())

    @property
    def ready(self) -> bool:
        """Whether every model answers."""
        return all(model.ready for model in self)

    def get(self, name: str | None) -> ServedModel:
        """Look a model up; None stands for the default.

        Raises:
            Problem: no model is called so.
        """
        found = self._by_name.get(self.default if name is None else name)
        if found is None:
            known = ", ".join(self._by_name)
            raise HTTPError(404, "no_such_model", f"There is no model {name!r}; there is {known}.")
        return found

    def load(self) -> None:
        """Load all, one after the other.

        Raises:
            MlmfastError: one of them cannot be opened.
        """
        for model in self:
            model.load()

    def reload(self) -> None:
        """Load all anew; one that cannot be opened goes on as it was."""
        for model in self:
            try:
                model.load()
            except MlmfastError as error:
                logger.error("%s was not loaded anew: %s", model.name, error)  # noqa: TRY400

    def abandon(self) -> None:
        """Fail what is in hand, and take no more."""
        for model in self:
            model.abandon()

    def count_texts(self) -> None:
        """Tell the metrics how many texts are in hand."""
        for model in self:
            self._metrics.texts_in_hand(model.name, model.texts)


def _warm_up(model: Model, limits: QueueLimits) -> None:
    """Run a lone text, then one batch for each core, as the first requests would."""
    scheduler = Scheduler(model, limits)
    cut: dict[str, Any] = {"truncation": "around_mask", "max_length": _WARM_UP_TOKENS}
    task = fill_mask_task(model, 1, tokenizer_kwargs=cut)
    text = " ".join(["a"] * _WARM_UP_TOKENS + [model.vocabulary.mask_token])
    rows = max(2, model.engine.rules.budget // _WARM_UP_TOKENS) * model.engine.workers
    scheduler.submit([text], task).future.result()
    scheduler.submit([text] * min(rows, limits.max_texts), task).future.result()
    scheduler.close()
