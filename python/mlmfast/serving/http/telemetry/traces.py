"""Traces of OpenTelemetry: a span for each request, and within it what its time went to."""

from __future__ import annotations

import logging
import os
import threading
import time
from importlib.metadata import entry_points, version
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

    from mlmfast.serving.http.record import Record

logger = logging.getLogger(__name__)

_HEADERS = ("traceparent", "tracestate")
_OTLP = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}


class Traces:
    """Begins and ends the spans of requests, and sends them in the background.

    Everything is set by the variables of OpenTelemetry: OTEL_EXPORTER_OTLP_ENDPOINT,
    OTEL_TRACES_EXPORTER, OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES ...

    Raises:
        InputError: OTEL_TRACES_EXPORTER names an exporter that is not installed.
    """

    def __init__(self) -> None:
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        for exporter in _exporters():
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("mlmfast", version("mlmfast"))
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, record: Record, headers: Mapping[str, str]) -> None:
        """Begin the span of a request, as a child of that of its client.

        The record gets the span, and a `traceparent` that names it.

        Args:
            record: the record of the request.
            headers: its headers, with small names.
        """
        own = {name: headers[name] for name in _HEADERS if name in headers}
        context = self._propagator.extract(own)
        record.span = self._tracer.start_span("request", context, SpanKind.SERVER)
        sent: dict[str, str] = {}
        self._propagator.inject(sent, set_span_in_context(record.span))
        record.traceparent = sent.get("traceparent", record.traceparent)

    def end(
        self, record: Record, *, name: str, status: int, seconds: float, attributes: dict[str, Any]
    ) -> None:
        """End the span of a request.

        Args:
            record: the record of the request.
            name: the name of the span.
            status: the status of HTTP.
            seconds: how long the request took.
            attributes: more of its attributes.
        """
        span: Span | None = record.span
        if span is None:
            return
        if span.is_recording():
            span.update_name(name)
            span.set_attributes(_attributes(record) | attributes)
            if status >= 500:
                span.set_status(Status(StatusCode.ERROR, record.reason))
            self._add_parts(span, record, seconds)
        span.end()

    def _add_parts(self, span: Span, record: Record, seconds: float) -> None:
        """Add what the time went to: reading, the queue, the model, and writing."""
        ended = time.perf_counter()
        began = ended - seconds
        parts = [("read", began, record.submitted or ended)]
        if record.submitted:
            started = record.submitted + record.queue_seconds
            answered = started + record.run_seconds
            parts += [
                ("queue", record.submitted, started),
                ("model", started, answered),
                ("write", answered, ended),
            ]
        context, epoch = set_span_in_context(span), time.time() - ended
        earliest = getattr(span, "start_time", 0)
        for name, first, last in parts:
            start, end = (min(max(moment, began), ended) for moment in (first, last))
            start_ns = max(earliest, _ns(epoch + start))
            part = self._tracer.start_span(name, context, start_time=start_ns)
            part.end(max(start_ns, _ns(epoch + end)))

    def close(self, seconds: float) -> None:
        """Send the last spans, and wait some seconds for it at most."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(seconds)
        if closing.is_alive():
            logger.warning("the last traces were not sent within %g s", seconds)


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)


def _attributes(record: Record) -> dict[str, Any]:
    found: dict[str, Any] = {
        "mlmfast.request_id": record.request_id,
        "mlmfast.protocol": record.protocol,
        "mlmfast.priority": record.priority,
    }
    if record.model:
        found |= {
            "mlmfast.model": record.model,
            "mlmfast.texts": record.texts,
            "mlmfast.tokens": record.tokens,
        }
    if record.reason:
        found["error.type"] = record.reason
    return found


def _resource() -> Resource:
    own = {"service.version": version("mlmfast"), "process.pid": os.getpid()}
    given = Resource.create(own)
    if str(given.attributes.get("service.name", "")).startswith("unknown_service"):
        given = given.merge(Resource({"service.name": "mlmfast"}))
    return given


def _exporters() -> Iterator[SpanExporter]:
    names = os.environ.get("OTEL_TRACES_EXPORTER", "otlp")
    for given in filter(None, (name.strip() for name in names.split(","))):
        if given == "none":
            continue
        name = given
        if given == "otlp":
            common = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
            protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", common)
            name = _OTLP.get(protocol, protocol)
        found = list(entry_points(group="opentelemetry_traces_exporter", name=name))
        if not found:
            raise InputError(
                f"There is no exporter of traces {name!r}: install it, or set OTEL_TRACES_EXPORTER "
                "to otlp, console or none."
            )
        yield found[0].load()()
