"""What clients do wrong, by accident or on purpose, and the limits that hold against it."""

from __future__ import annotations

import gzip
import time
import zlib

import httpx
import psutil
import pytest

import http_client
from limited_server import (  # noqa: F401 (fixtures)
    BODY,
    LIMIT,
    impatient,
    post,
    raw,
    server,
    unharmed,
)
from serving import PATIENCE, begun

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
    answer = http_client.post(server.url, json=asked)
    assert answer.status_code == 422
    assert told is None or told in answer.json()["error"]


def test_text_of_all_kinds_is_answered(server):
    for text in ("\u202e<mask>\ufffd", "<mask> \U0001f600", "a\u0000b <mask>", "<mask>\r\n\t"):
        assert http_client.post(server.url, json={"inputs": text}).status_code == 200


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

    def test_a_body_that_does_not_come(self, impatient):
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
        answer = raw(impatient, head + b'{"inputs"')
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
            answer = http_client.post(server.url, json=body)
            assert answer.status_code == 504
            assert answer.json()["error_type"] == "timeout"
            end = time.monotonic() + PATIENCE
            while server.metric("mlmfast_texts_in_hand"):
                assert time.monotonic() < end
