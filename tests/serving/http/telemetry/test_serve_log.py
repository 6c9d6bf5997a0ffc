"""The log of a server under clients that want to write it, and what it says of refused ones."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

import http_client
from limited_server import BODY, impatient, post, raw, server, unharmed  # noqa: F401 (fixtures)
from mlmfast.serving.http.telemetry.log import JsonLines, TextLines
from serving import PATIENCE, begun, until

# Ends of lines, commands to a terminal, a change of direction, and fields of another request.
HOSTILE = "/a\r\n12:00:00 info    request status=200\x1b[2J\x9b1m\x85\u2028\u2029\u202e\x7f x=1 end"
ENCODED = (
    "/a%0d%0a12:00:00%20info%20%20%20%20request%20status=200%1b%5b2J%c2%9b1m%c2%85"
    "%e2%80%a8%e2%80%a9%e2%80%ae%7f%20x=1%20end"
)
BAD = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e]")


def logged(formatter: logging.Formatter, message: str, *, failure=None, **fields: str) -> str:
    record = logging.LogRecord("mlmfast", logging.INFO, "", 0, message, (), failure)
    record.fields = fields
    return formatter.format(record)


class TestLines:
    def test_a_line_of_text_has_one_line_and_the_fields_of_its_own(self):
        line = logged(TextLines(), f"request {HOSTILE}", path=HOSTILE, client='a"b', model="onnx")
        assert not BAD.search(line)
        assert line.endswith(' client="a\\"b" model=onnx')
        quoted = line[line.index("path=") + 5 : line.index(" client=")]
        assert json.loads(quoted) == HOSTILE

    def test_an_exception_is_indented(self):
        error = ValueError(HOSTILE)
        line = logged(TextLines(), "a request failed", failure=(ValueError, error, None))
        _, *others = re.split("[\r\n\u2028\u2029\x85]", line)
        assert others
        assert all(other.startswith("    ") for other in others)
        assert not BAD.search(line.replace("\n", ""))

    @pytest.mark.parametrize("text", [HOSTILE, "\ud800", "plain"])
    def test_an_object_has_one_line(self, text):
        line = logged(JsonLines(), text, path=text)
        assert not BAD.search(line)
        assert json.loads(line)["path"] == json.loads(line)["event"] == text


class TestText:
    @pytest.fixture(scope="class")
    def text_server(self, tiny_model):
        arguments = ["--log-format", "text"]
        with begun(str(tiny_model("roberta").onnx), *arguments, ready=False) as one:
            until(lambda: http_client.get(f"{one.url}/health").status_code == 200)
            yield one

    def test_paths_and_headers_do_not_write_it(self, text_server):
        end = "\r\nHost: x\r\nConnection: close\r\n\r\n"
        forged = [
            f"GET {ENCODED} HTTP/1.1\r\nX-Request-Id: a\x1b[31m{end}",
            f"GET /\x1b[2J/{ENCODED} HTTP/1.1{end}",
            f"GET / HTTP/1.1\r\nX-Request-Id: a\rb c=d\u2028{end}",
            f"GET /{ENCODED}\r\n12:00:00 info request forged\r\n\r\n",
        ]
        for request in forged:
            raw(text_server, request.encode())
        http_client.get(f"{text_server.url}/last")
        until(lambda: any("path=/last" in line for line in text_server.lines))
        for line in text_server.lines[1:]:
            assert re.match(r"\d\d:\d\d:\d\d (info|warning|error) ", line)
            assert not BAD.search(line)
            fields = re.sub(r'"(?:\\.|[^"\\])*"', "", line)  # without what is quoted
            assert fields.count(" status=") <= 1
            assert "forged" not in fields


class TestRefusals:
    """What a connection refuses before there is a request is logged and counted as one."""

    def refused(self, server, status: int, reason: str, found: bytes):
        head, _, body = found.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d" % status)
        error = json.loads(body)
        assert error["error_type"] == reason
        lines = []
        until(lambda: lines.extend(self.lines(server, error["request_id"])) or lines)
        (line,) = lines
        assert (line["status"], line["reason"], line["client"]) == (status, reason, "127.0.0.1")
        return line

    def lines(self, server, request_id):
        return [line for line in server.log() if line.get("request_id") == request_id]

    @contextmanager
    def counted(self, server, status: int, reason: str):
        names = {
            "mlmfast_requests_total": {"protocol": "connection", "status": str(status)},
            "mlmfast_failures_total": {"reason": reason},
        }
        before = {name: self.metric(server, name, labels) for name, labels in names.items()}
        yield
        for name, labels in names.items():
            assert self.metric(server, name, labels) == before[name] + 1

    def metric(self, server, name, labels):
        while True:
            try:
                return server.metric(name, **labels)
            except httpx.RemoteProtocolError:  # an impatient server has closed the connection
                assert server.process.poll() is None

    def test_headers_that_do_not_end(self, impatient):
        with self.counted(impatient, 408, "slow_headers"):
            found = raw(impatient, b"GET /slow HTTP/1.1\r\nX-A: ")
            line = self.refused(impatient, 408, "slow_headers", found)
        assert line["path"] == "/slow"

    def test_headers_without_measure(self, server):
        with self.counted(server, 431, "headers_too_large"):
            found = raw(server, b"GET / HTTP/1.1\r\n", b"X-A: 1\r\n" * 10_000)
            self.refused(server, 431, "headers_too_large", found)

    @pytest.mark.parametrize(
        "sent",
        [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET /\xff\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"],
    )
    def test_what_is_no_http(self, server, sent):
        with self.counted(server, 400, "bad_http"):
            self.refused(server, 400, "bad_http", raw(server, sent))

    def test_a_body_that_breaks_off_into_something_else(self, server):
        """It is the request's own error, and counted once."""
        gone = server.metric("mlmfast_failures_total", reason="client_gone")
        head = b"POST /v1/fill-mask HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        before = server.metric("mlmfast_requests_total", protocol="v1", status="400")
        found = raw(server, head + b"5\r\nhello\r\nzz\r\n")
        self.refused(server, 400, "bad_http", found)
        assert server.metric("mlmfast_requests_total", protocol="v1", status="400") == before + 1
        assert server.metric("mlmfast_failures_total", reason="client_gone") == gone

    def test_it_comes_after_the_answers_to_earlier_requests(self, server):
        request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
        with self.counted(server, 400, "bad_http"):
            found = raw(server, request * 2 + b"no http at all\r\n\r\n")
        assert found.count(b"HTTP/1.1 200") == 2
        assert b"HTTP/1.1 400" not in found

    def test_the_log_has_nothing_but_objects(self, server):
        post(server, BODY, ENCODED)
        for line in server.lines[1:]:
            assert isinstance(json.loads(line), dict)


OTHERS = """
import logging, threading, warnings
from mlmfast.serving.http.telemetry.log import configure_logging

configure_logging("json")
logging.getLogger("asyncio").error("socket.accept() out of system resource")
warnings.warn("careful")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
"""


def test_what_other_libraries_and_threads_write_is_json_too():
    found = subprocess.run(
        [sys.executable, "-c", OTHERS], capture_output=True, check=True, text=True, timeout=PATIENCE
    )
    events = [json.loads(line) for line in found.stderr.splitlines()]
    assert len(events) == 3
    assert "out of system resource" in events[0]["event"]
    assert "careful" in events[1]["event"]
    assert "ZeroDivisionError" in events[2]["exception"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/{long}", {}),
        ("/models/{long}", {"inputs": "<mask>"}),
        ("/v2/models/{long}/infer", {"inputs": []}),
        ("/", {"inputs": "<mask>", "parameters": {"{long}": 1}}),
        ("/", {"inputs": "{long}"}),
        ("/v1/fill-mask", {"inputs": "<mask>", "model": "{long}"}),
        ("/v1/fill-mask", {"inputs": "<mask>", "targets": ["{long}"]}),
        ("/v1/fill", {"inputs": "<mask>", "order": "{long}"}),
        ("/v1/score", {"inputs": "paris", "method": "{long}"}),
    ],
)
def test_what_was_sent_is_cut_in_errors(server, path, body):
    long = "x" * 20_000
    content = json.dumps(body).replace("{long}", long).encode()
    answer = post(server, content, path.replace("{long}", long))
    assert len(answer.content) < 1200
