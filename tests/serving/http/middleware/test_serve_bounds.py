"""Bounds on what costs memory or time before a request is answered, and who may ask at all."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack

import psutil
import pytest

import http_client
from limited_server import BODY, post, raw, server, unharmed  # noqa: F401 (fixtures)
from raw_http import rest
from serving import PATIENCE, begun, until

CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
CHUNKS = b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)


class TestTrailers:
    @pytest.mark.parametrize("method", [b"POST", b"GET"])
    @pytest.mark.parametrize("trailer", [b"X-A: 1\r\n" * 8192, b"x" * (64 << 10)])
    def test_that_do_not_end(self, server, method, trailer):
        """The connection ends, and the server's memory stays as it was."""
        process = psutil.Process(server.process.pid)
        before = process.memory_info().rss
        failed = server.metric("mlmfast_failures_total", reason="headers_too_large")
        head = CHUNKED.replace(b"POST", method) + b"\r\n" + CHUNKS + b"X-B: "
        with socket.create_connection(server.address, timeout=PATIENCE) as connection:
            connection.sendall(head)
            sent = 0
            try:
                while sent < 1 << 30:
                    connection.sendall(trailer)
                    sent += len(trailer)
            except OSError:  # the server has closed
                pass
        assert sent < 50 << 20
        assert process.memory_info().rss - before < 30 << 20
        assert server.metric("mlmfast_failures_total", reason="headers_too_large") == failed + 1

    def test_a_few_are_ignored(self, server):
        """They do not pass for headers either: the second Host would be one too many."""
        trailers = b"Host: y\r\nX-Checksum: 1\r\n\r\n"
        close = b"Connection: close\r\n\r\n"
        found = raw(server, CHUNKED + close + CHUNKS[:-3], b"0\r\n" + trailers)
        assert found.startswith(b"HTTP/1.1 200")

    def test_small_chunks_are_no_trailers(self, server):
        body = BODY + b" " * 20_000
        chunks = b"".join(b"1;a=b\r\n%c\r\n" % byte for byte in body)
        found = raw(server, CHUNKED + b"Connection: close\r\n\r\n", chunks, b"0\r\n\r\n")
        assert found.startswith(b"HTTP/1.1 200")


WRONG = [1] * 20_000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        *((path, {"inputs": WRONG}) for path in ("/", "/v1/fill-mask", "/v1/fill", "/v1/score")),
        ("/", {"inputs": "<mask>", "parameters": {"targets": WRONG}}),
        ("/v1/fill-mask", {"inputs": "<mask>", "targets": WRONG}),
    ],
)
def test_a_list_of_wrong_elements_is_refused_at_the_first(server, path, body):
    """The error counts what was checked: with a million of these, all would take seconds."""
    answer = post(server, json.dumps(body).encode(), path)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert "0: Input should be a valid string" in error
    assert "more)" not in error


def test_a_million_wrong_elements(tiny_model):
    with begun(str(tiny_model("roberta").onnx), "--max-body-mb", "4") as server:
        content = b'{"inputs": [' + b"1," * 1_000_000 + b"1]}"
        assert post(server, content).status_code == 422


class TestKeys:
    @pytest.fixture(scope="class")
    def keyed(self, tiny_model):
        """Its key comes from the environment, with the end of a line as of `$(< file)`."""
        model = str(tiny_model("roberta").onnx)
        with ExitStack() as stack:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("MLMFAST_API_KEY", " open-sesame\r\n")
                one = stack.enter_context(begun(model, "--host", "0.0.0.0"))
            yield one

    def test_one_from_the_environment_is_stripped(self, keyed):
        headers = {"authorization": "Bearer open-sesame"}
        assert post(keyed, BODY, **headers).status_code == 200
        assert post(keyed, BODY).status_code == 401

    def test_one_is_checked_before_the_body_is_read(self, keyed):
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
        with socket.create_connection(keyed.address, timeout=PATIENCE) as connection:
            connection.sendall(head + b"\r\n{")
            assert connection.recv(65536).startswith(b"HTTP/1.1 401")
        with socket.create_connection(keyed.address, timeout=PATIENCE) as connection:
            connection.sendall(head + b"Expect: 100-continue\r\n\r\n")
            assert rest(connection).startswith(b"HTTP/1.1 401")

    def test_a_blank_one_is_refused(self, tiny_model):
        """Otherwise a mistake in a deployment would open the server to all."""
        found = subprocess.run(
            [sys.executable, "-m", "mlmfast", "serve", str(tiny_model("roberta").onnx)],
            capture_output=True,
            check=False,
            env={**os.environ, "MLMFAST_API_KEY": " \n"},
            text=True,
            timeout=PATIENCE,
        )
        assert found.returncode == 2
        assert "The API key is blank" in found.stderr

    def warnings(self, server):
        return [line["event"] for line in server.log() if line["level"] == "warning"]

    def test_a_server_for_all_warns_without_one(self, tiny_model, keyed, server):
        with begun(str(tiny_model("roberta").onnx), "--host", "0.0.0.0", ready=False) as open_one:
            until(lambda: self.warnings(open_one))
            until(lambda: http_client.get(f"{open_one.url}/health").status_code == 200)
            (warning,) = self.warnings(open_one)
        assert "without a key" in warning
        assert not any("without a key" in event for event in self.warnings(keyed))
        assert not any("without a key" in event for event in self.warnings(server))
