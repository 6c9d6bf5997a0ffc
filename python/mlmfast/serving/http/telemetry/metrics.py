"""The metrics for Prometheus: requests, failures, queue, batches, inference, padding."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from mlmfast.serving.http.telemetry.process_metrics import Processes, add_build_info, worker_ids

if TYPE_CHECKING:
    from mlmfast.serving.http.telemetry.statistics import ModelStatistics
    from mlmfast.serving.scheduler.request import BatchReport

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_RATIOS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
# If it is set, by the process that starts the workers, the metrics of all workers are in its files.
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """The metrics of a process, or of all workers together."""

    def __init__(self) -> None:
        disable_created_metrics()  # they would double the number of series
        registry = CollectorRegistry()
        self._registry = registry
        add_build_info(registry)
        self._requests = Counter(
            "mlmfast_requests",
            "Requests that were answered, by protocol, model and status.",
            ("protocol", "model", "status"),
            registry=registry,
        )
        self._failures = Counter(
            "mlmfast_failures",
            "Requests that failed, by reason.",
            ("model", "reason"),
            registry=registry,
        )
        self._key_requests = Counter(
            "mlmfast_key_requests",
            "Requests that were answered, by the name of their API key and by status.",
            ("key", "status"),
            registry=registry,
        )
        self._key_texts = Counter(
            "mlmfast_key_texts",
            "Texts that were answered, by the name of the API key.",
            ("key",),
            registry=registry,
        )
        self._request_seconds = Histogram(
            "mlmfast_request_seconds",
            "From a request's headers to its response.",
            ("protocol", "model"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._texts = Counter(
            "mlmfast_texts", "Texts that were answered.", ("model",), registry=registry
        )
        self._queue_seconds = Histogram(
            "mlmfast_queue_seconds",
            "From a request's arrival in the queue until its first text was run.",
            ("model",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._batch_texts = Histogram(
            "mlmfast_batch_texts", "Texts of a batch.", ("model",), buckets=TEXTS, registry=registry
        )
        self._batch_tokens = Histogram(
            "mlmfast_batch_tokens",
            "Tokens of a batch, without padding.",
            ("model",),
            buckets=TOKENS,
            registry=registry,
        )
        self._padding = Histogram(
            "mlmfast_batch_padding_ratio",
            "The part of a batch that is padding.",
            ("model",),
            buckets=_RATIOS,
            registry=registry,
        )
        self._inference_seconds = Histogram(
            "mlmfast_inference_seconds",
            "Time on the device of one batch.",
            ("model",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._reloads = Counter(
            "mlmfast_reloads", "Loads of a model.", ("model", "result"), registry=registry
        )
        self._in_hand = Gauge(
            "mlmfast_texts_in_hand",
            "Texts that wait or are run.",
            ("model",),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._connections = Gauge(
            "mlmfast_connections",
            "Connections that are open.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._accepted = Counter(
            "mlmfast_connections_accepted", "Connections that were accepted.", registry=registry
        )
        self._evicted = Counter(
            "mlmfast_connections_evicted",
            "Connections without a request that were closed to make room for others.",
            registry=registry,
        )
        self._accept_pauses = Counter(
            "mlmfast_accept_pauses",
            "How often no connection could be accepted, by reason.",
            ("reason",),
            registry=registry,
        )
        self._accept_seconds = Histogram(
            "mlmfast_accept_seconds",
            "From a connection's handshake until it was accepted.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._loop_delay = Histogram(
            "mlmfast_loop_delay_seconds",
            "How late the event loop does what is due, ten times a second.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._replaced = Counter(
            "mlmfast_workers_replaced",
            "Workers that died or hung, and were replaced.",
            ("reason",),
            registry=registry,
        )
        self._body_bytes = Gauge(
            "mlmfast_body_bytes",
            "Bytes of the bodies of all requests in hand.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._answer_bytes = Gauge(
            "mlmfast_answer_bytes",
            "Bytes of the large answers that clients have yet to read.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._ready = Gauge(
            "mlmfast_model_ready",
            "Workers in which the model is ready.",
            ("model",),
            registry=registry,
            multiprocess_mode="livesum",
        )

    def count_request(
        self,
        protocol: str,
        model: str,
        status: int,
        reason: str | None,
        seconds: float,
        key: str = "",
    ) -> None:
        """Count a request; `model` is empty if the request found none, `key` if it had none."""
        if key:
            self._key_requests.labels(key, str(status)).inc()
        self._requests.labels(protocol, model, str(status)).inc()
        self._request_seconds.labels(protocol, model).observe(seconds)
        if reason:
            self._failures.labels(model, reason).inc()

    def count_texts(self, model: str, texts: int, key: str = "") -> None:
        """Count texts that were answered."""
        if key:
            self._key_texts.labels(key).inc(texts)
        self._texts.labels(model).inc(texts)

    def set_texts_in_hand(self, model: str, texts: int) -> None:
        """Set how many texts are queued or running."""
        self._in_hand.labels(model).set(texts)

    def set_body_bytes(self, size: int) -> None:
        """Set how many bytes of bodies are held."""
        self._body_bytes.set(size)

    def set_answer_bytes(self, size: int) -> None:
        """Set how many bytes of answers wait for their clients."""
        self._answer_bytes.set(size)

    def count_load(self, model: str, *, success: bool) -> None:
        """Count a load, including the first one."""
        self._reloads.labels(model, "loaded" if success else "failed").inc()
        if success:
            self._ready.labels(model).set(1)

    def set_connections(self, number: int) -> None:
        """Set how many connections are open."""
        self._connections.set(number)

    def count_connection(self, seconds_waited: float | None) -> None:
        """Count a connection that was accepted, and the seconds that it waited, if known."""
        self._accepted.inc()
        if seconds_waited is not None:
            self._accept_seconds.observe(seconds_waited)

    def count_eviction(self) -> None:
        """Count a connection that was closed to make room."""
        self._evicted.inc()

    def count_accept_pause(self, reason: str) -> None:
        """Count that no connection can be accepted for a moment."""
        self._accept_pauses.labels(reason).inc()

    def observe_loop_delay(self, seconds: float) -> None:
        """Count by how much the event loop was late."""
        self._loop_delay.observe(seconds)

    def count_replacement(self, reason: str) -> None:
        """Count that this worker replaces one that "died" or "hung"."""
        self._replaced.labels(reason).inc()

    def count_unload(self, model: str) -> None:
        """Note that a model was unloaded."""
        self._ready.labels(model).set(0)

    def observer(self, model: str, statistics: ModelStatistics) -> ModelObserver:
        """Return the observer that counts the batches of a model, also in its statistics."""
        return ModelObserver(
            statistics,
            self._queue_seconds.labels(model),
            self._batch_texts.labels(model),
            self._batch_tokens.labels(model),
            self._padding.labels(model),
            self._inference_seconds.labels(model),
        )

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        if SHARED_FOLDER not in os.environ:
            own = CollectorRegistry()
            own.register(Processes([os.getpid()]))
            return generate_latest(self._registry) + generate_latest(own)
        return text_of_workers()


def text_of_workers() -> bytes:
    """Return the metrics of all workers in Prometheus' text format."""
    all_workers = CollectorRegistry()
    MultiProcessCollector(all_workers)
    all_workers.register(Processes(worker_ids(os.environ[SHARED_FOLDER])))
    return generate_latest(all_workers)


class ModelObserver:
    """Counts the batches of one model."""

    def __init__(
        self,
        statistics: ModelStatistics,
        queue: Histogram,
        texts: Histogram,
        tokens: Histogram,
        padding: Histogram,
        seconds: Histogram,
    ):
        self._statistics = statistics
        self._queue = queue
        self._texts = texts
        self._tokens = tokens
        self._padding = padding
        self._seconds = seconds

    def on_batch(self, report: BatchReport) -> None:
        self._statistics.count_batch(report)
        self._texts.observe(report.texts)
        self._tokens.observe(report.tokens)
        self._padding.observe(report.padding / (report.tokens + report.padding))
        self._seconds.observe(report.seconds)

    def on_request_started(self, queue_seconds: float) -> None:
        self._queue.observe(queue_seconds)
