"""Traces: a span for each request with its parts, sent to a collector; nothing without --traces."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import tritonclient.grpc as triton
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import http_client
from mlmfast.errors import InputError, MissingDependencyError
from mlmfast.serving.http import settings
from mlmfast.serving.http.telemetry import traces
from mlmfast.serving.http.telemetry.process_metrics import Processes, worker_ids
from scripted_server import running
from serving import PATIENCE, begun, until
from triton_grpc import address_of, texts_input

TEXT = "paris is the <mask> of france"
TRACE, PARENT = "ab" * 16, "cd" * 8


class Collector(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            named = {one.key: one.value.string_value for one in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.server.spans += [(named, span) for span in scope.spans]
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def collector():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.spans = []
    return running(server)


@pytest.fixture(scope="module")
def collected():
    with collector() as one:
        yield one


@pytest.fixture(scope="module")
def server(tiny_model, collected):
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collected.server_address[1]}",
        "OTEL_SERVICE_NAME": "fills",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
        "OTEL_BSP_SCHEDULE_DELAY": "20",
    }
    folder = tiny_model("roberta").onnx
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            one = stack.enter_context(begun(f"tiny={folder}", "--traces", "--grpc-port", "0"))
        yield one


def spans_of(collected, trace: str):
    """Wait until the parent of all spans of a trace is there; return the resource and the spans."""
    found = []

    def complete():
        found[:] = [each for each in collected.spans if each[1].trace_id.hex() == trace]
        return any(span.parent_span_id.hex() == PARENT for _, span in found)

    until(complete)
    return found[0][0], {span.name: span for _, span in found}


def attributes_of(span):
    return {one.key: one.value.int_value or one.value.string_value for one in span.attributes}


def traceparent(trace: str) -> dict[str, str]:
    return {"traceparent": f"00-{trace}-{PARENT}-01"}


def test_a_request_is_a_span_with_its_parts(server, collected):
    answer = http_client.post(
        f"{server.url}/v1/fill-mask", json={"inputs": [TEXT] * 2}, headers=traceparent(TRACE)
    )
    resource, spans = spans_of(collected, TRACE)
    assert resource["service.name"] == "fills"
    assert resource["deployment.environment"] == "test"
    root = spans.pop("POST /v1/fill-mask")
    assert answer.headers["traceparent"] == f"00-{TRACE}-{root.span_id.hex()}-01"
    told = attributes_of(root)
    assert told["http.response.status_code"] == 200
    assert (told["mlmfast.model"], told["mlmfast.texts"]) == ("tiny", 2)
    assert told["mlmfast.request_id"] == answer.headers["x-request-id"]
    assert list(spans) == ["read", "queue", "model", "write"]
    at = root.start_time_unix_nano
    for span in spans.values():
        assert span.parent_span_id == root.span_id
        assert at - 1000 <= span.start_time_unix_nano <= span.end_time_unix_nano  # rounding
        at = span.end_time_unix_nano
    assert at <= root.end_time_unix_nano + 10**6
    lines = []
    until(
        lambda: lines.extend(one for one in server.log() if one.get("trace_id") == TRACE) or lines
    )


def test_a_refused_request_has_no_queue(server, collected):
    trace = "12" * 16
    http_client.post(
        f"{server.url}/models/other", json={"inputs": TEXT}, headers=traceparent(trace)
    )
    _, spans = spans_of(collected, trace)
    assert set(spans) == {"POST", "read"}
    assert attributes_of(spans["POST"])["error.type"] == "no_such_model"


def test_grpc_too(server, collected):
    trace = "34" * 16
    with triton.InferenceServerClient(address_of(server)) as client:
        client.infer(
            "tiny", [texts_input([TEXT])], headers=traceparent(trace), client_timeout=PATIENCE
        )
    _, spans = spans_of(collected, trace)
    assert set(spans) == {
        "inference.GRPCInferenceService/ModelInfer",
        "read",
        "queue",
        "model",
        "write",
    }


def test_the_last_spans_are_sent_before_the_end(tiny_model, monkeypatch):
    with collector() as one:
        monkeypatch.setenv(
            "OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{one.server_address[1]}"
        )
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
        with begun(str(tiny_model("roberta").onnx), "--traces") as server:
            http_client.post(server.url, json={"inputs": TEXT})
            assert not one.spans
            assert server.stop() == 0
        assert [span.name for _, span in one.spans].count("POST /") == 1
        assert one.spans[0][0]["service.name"] == "mlmfast"


def test_without_the_option_nothing_is_loaded():
    program = (
        "import sys; from pathlib import Path\n"
        "from mlmfast.serving.http.app import build_app\n"
        "from mlmfast.serving.http.service import Service\n"
        "from mlmfast.serving.http.settings import ModelSource, ServeSettings\n"
        "settings = ServeSettings((ModelSource('a', Path('a')),))\n"
        "build_app(Service(settings, 1, lambda: None))\n"
        "print([name for name in sys.modules if name in ('opentelemetry', 'grpc')])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert found.stdout.strip() == "[]"


def test_what_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(settings, "find_spec", lambda _: None)
    models = (settings.ModelSource("a", tmp_path),)
    for given, extra in (({"traces": True}, "otel"), ({"grpc_port": 1}, "grpc")):
        with pytest.raises(MissingDependencyError, match=rf"mlmfast\[{extra}\]"):
            settings.ServeSettings(models, **given)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none,zipkin")
    with pytest.raises(InputError, match="no exporter of traces 'zipkin'"):
        traces.Traces()


def test_processes_are_added_up(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        alone = {
            metric.name: metric.samples[0].value for metric in Processes([other.pid]).collect()
        }
        both = Processes([other.pid, other.pid]).collect()
        for metric in both:
            if metric.name == "process_start_time_seconds":
                assert metric.samples[0].value == alone[metric.name]
            if metric.name == "process_virtual_memory_bytes":
                assert metric.samples[0].value >= 2 * alone[metric.name]
        (tmp_path / f"gauge_livesum_{other.pid}.db").touch()
        (tmp_path / f"gauge_livemax_{other.pid}.db").touch()
        (tmp_path / "counter_1.db").touch()
        assert worker_ids(str(tmp_path)) == [other.pid]
        other.communicate(b"\n")
    assert list(Processes([other.pid]).collect()) == []
