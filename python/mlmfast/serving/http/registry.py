"""The models of a server, by name. Each can be reloaded while its old version still answers."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from mlmfast.errors import MlmfastError
from mlmfast.serving.engine.model import open_model
from mlmfast.serving.folder import tasks_of
from mlmfast.serving.http.errors import HTTPError
from mlmfast.serving.http.telemetry.statistics import ModelStatistics
from mlmfast.serving.scheduler.queue import QueueLimits
from mlmfast.serving.scheduler.scheduler import Scheduler
from mlmfast.serving.tasks.fill_mask import fill_mask_task
from mlmfast.serving.tasks.sparse import sparse_task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmfast.serving.engine.model import Model
    from mlmfast.serving.http.settings import ModelSource, ServeSettings
    from mlmfast.serving.http.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

# The length of the texts that a model runs before it counts as ready.
_WARM_UP_TOKENS = 64
_SPINNING = {"auto": None, "on": True, "off": False}


class ServedModel:
    """A model that is served under a name.

    Attributes:
        name: the name in requests.
        loads: how often it was loaded.
        unloaded: whether a client unloaded it; it answers again once it is loaded.
        statistics: what it has done in this process.
    """

    def __init__(
        self, source: ModelSource, settings: ServeSettings, threads: int | None, metrics: Metrics
    ):
        self.name = source.name
        self.loads = 0
        self.unloaded = False
        self.statistics = ModelStatistics()
        self._folder = source.folder
        self._settings = settings
        self._threads = threads
        self._metrics = metrics
        self._loading = threading.Lock()
        self._current: tuple[Model, Scheduler] | None = None

    @property
    def ready(self) -> bool:
        """Whether it is loaded."""
        return self._current is not None

    @property
    def model(self) -> Model:
        """The version that answers now.

        Raises:
            HTTPError: it is not loaded.
        """
        return self.serving()[0]

    @property
    def texts(self) -> int:
        """Texts in hand."""
        return self._current[1].texts if self._current else 0

    def load(self) -> None:
        """Load the folder as it is now, warm up, and switch to it.

        The version before answers the requests that it has.

        Raises:
            MlmfastError: the folder cannot be opened; the version before still answers.
        """
        with self._loading:
            started = time.perf_counter()
            try:
                new = self._open()
            except MlmfastError:
                self._metrics.count_load(self.name, success=False)
                raise
            old, self._current = self._current, new
            self.unloaded = False
            self.loads += 1
            self._metrics.count_load(self.name, success=True)
            logger.info(
                "%s is ready after %.1f s, on %s",
                self.name,
                time.perf_counter() - started,
                new[0].engine.device,
            )
            if old:
                old[1].close()

    def unload(self) -> None:
        """Answer no more requests until it is loaded again, and give its memory back.

        Requests in hand are answered first.
        """
        with self._loading:
            old, self._current = self._current, None
            self.unloaded = True
            self._metrics.count_unload(self.name)
            if old:
                old[1].close()
                logger.info("%s was unloaded", self.name)

    def abandon(self) -> None:
        """Fail the requests in hand, and accept no more."""
        if self._current:
            self._current[1].abandon()

    def serving(self) -> tuple[Model, Scheduler]:
        """Return the version that answers now, and its scheduler.

        Raises:
            HTTPError: it is not loaded.
        """
        current = self._current
        if current is None and self.unloaded:
            raise HTTPError(503, "unloaded", f"The model {self.name} was unloaded.")
        if current is None:
            raise HTTPError(503, "loading", f"The model {self.name} is loading.", retry_after=5)
        return current

    def _open(self) -> tuple[Model, Scheduler]:
        settings = self._settings
        model = open_model(
            self._folder,
            device=settings.device,
            threads=self._threads,
            spinning=_SPINNING[settings.spinning],
            batching=settings.batching,
            batch_tokens=settings.max_batch_tokens,
            max_length=settings.max_tokens,
            tasks=tasks_of(self._folder),
            cuda_graphs=settings.cuda_graphs,
        )
        limits = QueueLimits(
            settings.max_queue,
            settings.max_delay_ms / 1000,
            settings.max_rows,
            settings.max_passes,
            settings.max_answer,
        )
        _warm_up(model, QueueLimits())
        return model, Scheduler(model, limits, self._metrics.observer(self.name, self.statistics))


class ModelRegistry:
    """All models of a server.

    Attributes:
        default: the name of the model for requests that name none.
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
        """Whether every model is loaded, but for those that were unloaded on purpose."""
        return all(model.ready or model.unloaded for model in self)

    def get(self, name: str | None) -> ServedModel:
        """Return a model by its name; None means the default.

        Raises:
            HTTPError: there is no model of this name.
        """
        model = self._by_name.get(self.default if name is None else name)
        if model is None:
            known = ", ".join(self._by_name)
            raise HTTPError(
                404, "no_such_model", f"There is no model {name!r}: this server has {known}."
            )
        return model

    def load(self) -> None:
        """Load all models, one after the other.

        Raises:
            MlmfastError: one of them cannot be opened.
        """
        for model in self:
            model.load()

    def reload(self) -> None:
        """Reload all models that are not unloaded.

        One that cannot be opened keeps its version before.
        """
        for model in self:
            if model.unloaded:
                continue
            try:
                model.load()
            except MlmfastError as error:
                logger.error("%s was not reloaded: %s", model.name, error)  # noqa: TRY400

    def abandon(self) -> None:
        """Fail the requests in hand, and accept no more."""
        for model in self:
            model.abandon()

    def update_metrics(self) -> None:
        """Update the metric of the texts in hand."""
        for model in self:
            self._metrics.set_texts_in_hand(model.name, model.texts)


def _warm_up(model: Model, limits: QueueLimits) -> None:
    """Run a single text, then one batch for each core, as requests will, for each task."""
    scheduler = Scheduler(model, limits)
    kwargs: dict[str, Any] = {"truncation": "around_mask", "max_length": _WARM_UP_TOKENS}
    task = fill_mask_task(model, 1, tokenizer_kwargs=kwargs)
    text = " ".join(["a"] * _WARM_UP_TOKENS + [model.tokenizer.mask_token])
    rows = max(2, model.engine.rules.budget // _WARM_UP_TOKENS) * model.engine.workers
    tasks = [task, *([sparse_task(model, top_k=1)] if model.sparse else ())]
    for each in tasks:
        scheduler.submit([text], each).future.result()
        scheduler.submit([text] * min(rows, limits.max_texts), each).future.result()
    scheduler.close()
