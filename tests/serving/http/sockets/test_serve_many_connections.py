"""More connections than a server wants, on one process; and the port of probes beside them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import signal
import socket
import sys
import time

import httpx
import psutil
import pytest
from starlette.routing import Router

import http_client
from mlmfast.serving.http.protocols import health
from mlmfast.serving.http.service import Service
from mlmfast.serving.http.settings import ModelSource, ServeSettings
from serving import PATIENCE, begun, until

BODY = json.dumps({"inputs": "paris is the <mask> of france"}).encode()
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY)
LIMIT = 4


@pytest.fixture(scope="module")
def server(tiny_model):
    arguments = ["--max-connections", str(LIMIT), "--admin-port", "0"]
    arguments += [f"--{name}-timeout={PATIENCE}" for name in ("header", "body")]
    with begun(str(tiny_model("roberta").onnx), *arguments) as one:
        yield one


@pytest.fixture
def held(server):
    """Open connections that send something; all are closed at the end, and the server knows."""
    with contextlib.ExitStack() as stack:

        def hold(number: int, sent: bytes = b""):
            made = []
            for _ in range(number):
                made.append(stack.enter_context(socket.create_connection(server.address)))
                made[-1].settimeout(PATIENCE)
                made[-1].sendall(sent)
            return made

        yield hold
    until(lambda: server.metric("mlmfast_connections") == 0)


def busy(server, hold):
    """Hold as many connections as allowed, each in the middle of its request."""
    made = hold(LIMIT, HEAD + BODY[:5])
    until(lambda: server.metric("mlmfast_connections") == LIMIT)
    return made


@contextlib.contextmanager
def stopped(server):
    """Let a server do nothing for a while."""
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


def test_a_connection_too_many_is_refused_and_may_ask_for_health(server, held):
    first = busy(server, held)
    refused = server.metric("mlmfast_failures_total", reason="too_many_connections")
    answer = http_client.post(server.url, content=BODY)
    assert answer.status_code == 503
    assert answer.json()["error_type"] == "too_many_connections"
    assert (answer.headers["retry-after"], answer.headers["connection"]) == ("1", "close")
    asked = http_client.get(f"{server.url}/health")
    assert (asked.status_code, asked.headers["connection"]) == (200, "close")
    assert server.metric("mlmfast_failures_total", reason="too_many_connections") == refused + 1
    for one in first:  # those that came before are answered all the same
        one.sendall(BODY[5:])
        assert one.recv(65536).startswith(b"HTTP/1.1 200")


def test_connections_without_a_request_make_room(server, held):
    """Some have said nothing, some have had an answer, some do not finish their headers."""
    held(1)
    held(1, b"POST / HTTP/1.1\r\nHost: ")
    (answered,) = held(1, HEAD + BODY)
    assert answered.recv(65536).startswith(b"HTTP/1.1 200")
    held(LIMIT - 3)
    until(lambda: server.metric("mlmfast_connections") == LIMIT)
    evicted = server.metric("mlmfast_connections_evicted_total")
    until(lambda: http_client.post(server.url, content=BODY).status_code == 200)
    assert server.metric("mlmfast_connections_evicted_total") > evicted


def test_more_than_the_reserve_wait_and_are_answered_in_the_end(server, held):
    first = busy(server, held)
    with stopped(server):  # else it may answer each before the next one comes
        many = held(60, HEAD + BODY)
    until(lambda: server.metric("mlmfast_accept_pauses_total", reason="max_connections") > 0)
    assert http_client.get(f"{server.admin_url}/health").status_code == 200
    for one in first:
        one.sendall(BODY[5:])
        assert one.recv(65536).startswith(b"HTTP/1.1 200")
    for one in many:
        assert one.recv(65536)[9:12] in (b"200", b"503")


def test_a_server_without_descriptors_waits_for_some(server, held):
    process = psutil.Process(server.process.pid)
    before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    failures = server.metric("mlmfast_accept_pauses_total", reason="descriptors")
    began = time.monotonic()
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        (waiting,) = held(1, HEAD + BODY)
        until(
            lambda: any("no connection can be accepted" in line["event"] for line in server.log())
        )
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)
    assert waiting.recv(65536).startswith(b"HTTP/1.1 200")
    found = server.metric("mlmfast_accept_pauses_total", reason="descriptors") - failures
    # Twice a second, and not whenever the event loop turns.
    assert 1 <= found <= 2 * (time.monotonic() - began) + 2


def test_connections_and_their_wait_are_counted(server, held):
    accepted = server.metric("mlmfast_connections_accepted_total")
    held(2)
    until(lambda: server.metric("mlmfast_connections") == 2)
    assert server.metric("mlmfast_connections_accepted_total") == accepted + 2
    waits = server.metric("mlmfast_accept_seconds_count")
    assert waits == server.metric("mlmfast_connections_accepted_total")
    assert server.metric("mlmfast_loop_delay_seconds_count") > 0


def test_the_port_of_probes_answers_nothing_else(server):
    for path in ("/health", "/v2/health/live", "/v2/health/ready", "/metrics"):
        assert http_client.get(server.admin_url + path).status_code == 200
        assert http_client.get(server.url + path).status_code == 200
    for path in ("/", "/info", "/v1/models", "/docs"):
        assert http_client.get(server.admin_url + path).status_code == 404
    assert http_client.post(f"{server.admin_url}/v1/fill-mask", content=BODY).status_code == 404


def test_more_files_than_allowed_are_told(tiny_model):
    """The server takes what its hard limit gives."""
    script = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (200, 400)); "
    script += "os.execvp(sys.argv[1], sys.argv[1:])"
    through = (sys.executable, "-c", script)
    with begun(str(tiny_model("roberta").onnx), through=through) as server:
        assert any("allows 240 connections" in line["event"] for line in server.log())
        limits = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        assert limits == (400, 400)
        assert httpx.get(f"{server.url}/health", timeout=PATIENCE).status_code == 200


def test_an_event_loop_that_stands_still_is_not_alive(tmp_path):
    settings = ServeSettings((ModelSource("a", tmp_path),))
    service = Service(settings, 1, lambda: None)

    async def ask(path):
        transport = httpx.ASGITransport(Router(health.routes(service)))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path)

    service.beat_at = time.monotonic()
    assert asyncio.run(ask("/v2/health/live")).status_code == 200
    assert asyncio.run(ask("/health")).json() == {"status": "loading"}
    service.beat_at -= settings.worker_timeout
    assert asyncio.run(ask("/v2/health/live")).status_code == 503
    assert asyncio.run(ask("/v2/health/ready")).status_code == 503
    assert asyncio.run(ask("/health")).json() == {"status": "hung"}
