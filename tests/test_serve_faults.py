"""What clients do wrong, by accident or on purpose, and the limits that hold against it."""

from __future__ import annotations

import gzip
import json
import os
import socket
import time
import zlib

import httpx
import psutil
import pytest

from serving import PATIENCE, begun

TEXT = "paris is the <mask> of france"
BODY = json.dumps({"inputs": TEXT}).encode()
LIMIT = 64 << 10


@pytest.fixture(scope="module")
def server(tiny_model):
    arguments = [
        *("--max-body-mb", str(LIMIT / 2**20)),
        *("--header-timeout", "0.5", "--body-timeout", "0.5"),
        *("--max-texts", "20", "--max-queue", "40", "--max-rows", "1000"),
    ]
    with begun(str(tiny_model("roberta").onnx), *arguments) as one:
        yield one


@pytest.fixture(autouse=True)
def unharmed(server):
    """After each test the server answers as before, holds nothing, and has logged no fault."""
    yield
    assert httpx.post(server.url, content=BODY).status_code == 200
    end = time.monotonic() + PATIENCE
    while server.metric("mlmfast_texts_in_hand"):
        assert time.monotonic() < end
    assert not any("Traceback" in line for line in server.lines)


def post(server, content, path="/", **headers):
    return httpx.post(server.url + path, content=content, headers=headers)


def raw(server, *parts: bytes) -> bytes:
    """Send bytes, and return all that comes until the server closes the connection."""
    with socket.create_connection(server.address, timeout=PATIENCE) as connection:
        for part in parts:
            connection.sendall(part)
        return rest(connection)


def half_closed(server, sent: bytes) -> bytes:
    """Send bytes and the end of them, and return all that comes until the server closes too."""
    with socket.create_connection(server.address, timeout=PATIENCE) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return rest(connection)


def rest(connection) -> bytes:
    found = b""
    while part := connection.recv(65536):
        found += part
    return found


NESTED = b"[" * 30_000 + b"]" * 30_000


@pytest.mark.parametrize(
    "path", ["/", "/models/onnx", "/v1/fill-mask", "/v1/fill", "/v2/models/onnx/infer"]
)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe\x00",
        b'{"inputs": "\xff <mask>"}',
        b'{"inputs": "\\ud800 <mask>"}',
        b'{"inputs": NaN}',
        b'{"inputs": 5}',
        b'{"inputs": [["<mask>"]]}',
        b'{"inputs": [null]}',
        b'{"inputs": {"text": "<mask>"}}',
        b'{"inputs": ' + NESTED + b"}",
        NESTED,
        b'{"inputs": "<mask>", "parameters": ' + NESTED + b"}",
        b'{"inputs": "<mask>", "parameters": {"top_k": 1e99}, "top_k": 1e99}',
        b'{"inputs": "<mask>", "parameters": {"top_k": "5"}, "top_k": "5"}',
        b'{"inputs": "<mask>", "parameters": {"top_k": true}, "top_k": true}',
        b'{"inputs": "<mask>", "parameters": {"top_k": -1}, "top_k": -1}',
        b'{"inputs": "<mask>", "parameters": {"top_k": 99999999999999999999}, "top_k": 1e5}',
        b'{"inputs": "<mask>", "parameters": {"targets": []}, "targets": []}',
        b'{"inputs": "<mask>", "parameters": {"targets": [3]}, "targets": [3]}',
        b'{"inputs": "", "parameters": {}}',
        b'{"inputs": "\\u0000"}',
    ],
    ids=range(25),
)
def test_what_is_no_question_is_refused(server, path, content):
    answer = post(server, content, path)
    assert answer.status_code in (400, 422)
    error = answer.json()
    assert isinstance(error["error"], str)
    assert len(error["error"]) < 1000
    if path.startswith("/v2"):
        assert set(error) == {"error"}
    else:
        assert set(error) == {"error", "error_type", "request_id"}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"inputs": "<mask>" * 10_000}, "at most 64"),
        ({"inputs": ["<mask>"] * 21}, "21 texts"),
        ({"inputs": "way " * 70 + "<mask>"}, "at most 64"),
        ({"inputs": "<mask>" * 60, "parameters": {"top_k": 340}}, "20,400 rows"),
        ({"inputs": "<mask>", "parameters": {"targets": ["a"] * 1001}}, "1,001 targets"),
        ({"inputs": "<mask>", "parameters": {"tokenizer_kwargs": {"path": "/"}}}, None),
    ],
)
def test_more_than_is_allowed_is_refused(server, asked, told):
    answer = httpx.post(server.url, json=asked)
    assert answer.status_code == 422
    assert told is None or told in answer.json()["error"]


def test_text_of_all_kinds_is_answered(server):
    for text in ("\u202e<mask>\ufffd", "<mask> \U0001f600", "a\u0000b <mask>", "<mask>\r\n\t"):
        assert httpx.post(server.url, json={"inputs": text}).status_code == 200


class TestBodies:
    def test_too_large_with_its_length(self, server):
        answer = post(server, b"x" * (LIMIT + 1))
        assert answer.status_code == 413
        assert answer.headers["connection"] == "close"

    def test_too_large_in_chunks_without_length(self, server):
        def parts():
            for _ in range(100):
                yield b"x" * 4096

        answer = post(server, parts())
        assert answer.status_code == 413

    def test_a_hundred_megabytes_are_not_held(self, server):
        process = psutil.Process(server.process.pid)
        before = process.memory_info().rss
        peak = 0

        def parts():
            nonlocal peak
            for _ in range(100):
                yield bytes(1 << 20)
                peak = max(peak, process.memory_info().rss)

        assert post(server, parts()).status_code == 413
        assert peak - before < 30 << 20

    @pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
    def test_packed(self, server, pack):
        kind = "gzip" if pack is gzip.compress else "deflate"
        headers = {"content-encoding": kind}
        assert post(server, pack(BODY), **headers).json() == post(server, BODY).json()
        assert post(server, pack(bytes(100 << 20)), **headers).status_code == 413
        assert post(server, pack(BODY)[:-3], **headers).status_code == 400
        assert post(server, b"junk", **headers).status_code == 400

    def test_packed_in_a_way_that_is_not_known(self, server):
        assert post(server, BODY, **{"content-encoding": "br"}).status_code == 415

    def test_a_body_that_does_not_come(self, server):
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
        answer = raw(server, head + b'{"inputs"')
        assert answer.startswith(b"HTTP/1.1 408")

    def test_a_length_that_is_no_number(self, server):
        answer = raw(server, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400")

    def test_expect_continue(self, server):
        answer = raw(
            server,
            b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n" % len(BODY),
            BODY,
        )
        assert b"HTTP/1.1 200" in answer


class TestConnections:
    def test_headers_that_do_not_end(self, server):
        assert raw(server, b"POST / HTTP/1.1\r\nHost: x\r\nX-A: ").startswith(b"HTTP/1.1 408")

    def test_headers_that_come_byte_by_byte(self, server):
        """Each byte is progress, and the time is over all the same."""
        with socket.create_connection(server.address, timeout=PATIENCE) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n")
            connection.settimeout(0.05)
            found = b""
            while not found:
                try:
                    connection.sendall(b"x")
                    found = connection.recv(100)
                except TimeoutError:
                    continue
            assert found.startswith(b"HTTP/1.1 408")

    def test_a_connection_that_says_nothing_is_closed(self, server):
        assert raw(server) == b""

    def test_a_connection_that_sends_empty_lines_is_closed(self, server):
        with socket.create_connection(server.address, timeout=PATIENCE) as connection:
            connection.sendall(b"\r\n")
            assert rest(connection) == b""

    def test_headers_without_measure(self, server):
        answer = raw(server, b"GET / HTTP/1.1\r\n", b"X-A: 1\r\n" * 10_000)
        assert answer.startswith(b"HTTP/1.1 431")

    def test_what_is_no_http(self, server):
        answer = raw(server, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 5)
        assert answer.startswith(b"HTTP/1.1 400")

    def test_slow_clients_do_not_slow_others(self, server):
        held = []
        for _ in range(50):
            connection = socket.create_connection(server.address)
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Le")
            held.append(connection)
        assert post(server, BODY).status_code == 200
        for connection in held:
            assert rest(connection).startswith(b"HTTP/1.1 408")
            connection.close()

    def test_clients_that_vanish_leave_the_queue(self, server):
        gone = server.metric("mlmfast_failures_total", reason="client_gone")
        body = json.dumps({"inputs": ["way " * 50 + "<mask>"] * 20}).encode()
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        with socket.create_connection(server.address) as unfinished:
            unfinished.sendall(head + body[:-1])
        sent = 0
        for _ in range(20):
            with socket.create_connection(server.address) as connection:
                connection.sendall(head + body)
                sent += 1
        end = time.monotonic() + PATIENCE
        while server.metric("mlmfast_failures_total", reason="client_gone") <= gone:
            assert time.monotonic() < end

    def test_clients_that_end_their_side_after_the_request_count_as_gone(self, server):
        """To the server it is the same as a client that went away, which sends the same packet."""
        gone = server.metric("mlmfast_failures_total", reason="client_gone")
        body = json.dumps({"inputs": ["way " * 50 + "<mask>"] * 20}).encode()
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        for _ in range(10):
            answer = half_closed(server, head + body)
            # An answer that is out before the end came is whole.
            assert answer == b"" or len(json.loads(answer.partition(b"\r\n\r\n")[2])) == 20
        end = time.monotonic() + PATIENCE
        while server.metric("mlmfast_failures_total", reason="client_gone") <= gone:
            assert time.monotonic() < end

    @pytest.mark.parametrize(
        "sent",
        [
            b"",
            b"POST / HT",
            b"POST / HTTP/1.1\r\nHost: x\r\nX-A: ",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n",
            b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"inputs"',
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{",
        ],
        ids=["nothing", "line", "header", "no body", "body", "chunk"],
    )
    def test_clients_that_end_their_side_within_a_request_are_let_go(self, server, sent):
        process = psutil.Process(server.process.pid)
        before = process.num_fds()
        for _ in range(20):
            # No 408: that would be an answer to somebody who is waited for.
            assert half_closed(server, sent) == b""
        end = time.monotonic() + PATIENCE
        while process.num_fds() > before + 2:
            assert time.monotonic() < end

    def test_pipelined_requests_are_answered_in_order(self, server):
        texts = [f"{word} <mask>" for word in ("paris", "berlin", "france")]
        request = b""
        for text in texts:
            body = json.dumps({"inputs": text, "parameters": {"top_k": 1}}).encode()
            request += (
                b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
        answer = raw(server, request + b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
        places = [answer.index(text.split()[0].encode()) for text in texts]
        assert places == sorted(places)
        assert answer.count(b"HTTP/1.1 200") == 4

    def test_no_descriptor_is_left_behind(self, server):
        process = psutil.Process(server.process.pid)
        before = process.num_fds()
        for _ in range(50):
            connection = socket.create_connection(server.address)
            connection.sendall(b"POST / HT")
            connection.close()
        end = time.monotonic() + PATIENCE
        while process.num_fds() > before + 2:
            assert time.monotonic() < end


class TestQueue:
    def test_a_full_queue_says_when_to_come_again(self, tiny_model):
        import asyncio

        model = str(tiny_model("roberta").onnx)
        with begun(model, "--max-queue", "40", "--max-texts", "20", "--threads", "1") as server:
            body = {"inputs": ["way " * 55 + "<mask>"] * 20}

            async def ask_many():
                limits = httpx.Limits(max_connections=None)
                async with httpx.AsyncClient(timeout=None, limits=limits) as client:
                    return await asyncio.gather(
                        *(client.post(server.url, json=body) for _ in range(80))
                    )

            answers = asyncio.run(ask_many())
            refused = [answer for answer in answers if answer.status_code == 429]
            assert refused
            assert {answer.status_code for answer in answers} == {200, 429}
            assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
            assert refused[0].json()["error_type"] == "queue_full"
            assert server.metric("mlmfast_failures_total", reason="queue_full") == len(refused)
            assert all(len(a.json()) == 20 for a in answers if a.status_code == 200)

    def test_a_request_whose_time_is_over(self, tiny_model):
        model = str(tiny_model("roberta").onnx)
        with begun(model, "--request-timeout", "0.01", "--max-delay-ms", "0") as server:
            body = {"inputs": ["way " * 55 + "<mask>"] * 128}
            answer = httpx.post(server.url, json=body)
            assert answer.status_code == 504
            assert answer.json()["error_type"] == "timeout"
            end = time.monotonic() + PATIENCE
            while server.metric("mlmfast_texts_in_hand"):
                assert time.monotonic() < end


def test_schemathesis_finds_no_fault(server):
    """Requests made from the OpenAPI document: none crashes, each answer is as it is described."""
    schemathesis = pytest.importorskip("schemathesis")
    import hypothesis

    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    checks = schemathesis.checks
    wanted = [
        checks.not_a_server_error,
        schemathesis.specs.openapi.checks.status_code_conformance,
        schemathesis.specs.openapi.checks.content_type_conformance,
        schemathesis.specs.openapi.checks.response_schema_conformance,
    ]
    tried = 0
    for operation in schema.get_all_operations():
        case = operation.ok()

        @hypothesis.settings(
            max_examples=int(os.environ.get("MLMFAST_FUZZ_EXAMPLES", "10")),
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            database=None,
        )
        @hypothesis.given(case=case.as_strategy())
        def run(case):
            case.call_and_validate(checks=wanted)

        run()
        tried += 1
    assert tried >= 10
