"""Clients that make the server hold bytes: long texts, stalled bodies, answers nobody reads."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack

import pytest

import http_client
from serving import PATIENCE, begun, until

TEXT = "paris is the <mask> of france"
# 16 masks with 300 rows each: an answer of a megabyte.
LARGE = json.dumps({"inputs": "<mask> " * 16, "parameters": {"top_k": 300}}).encode()
MB = 1 << 20
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def server(tiny_model):
    arguments = [
        *("--max-body-mb", "0.5", "--max-bodies-mb", "2", "--max-characters", "2000"),
        *("--max-answer-mb", "2", "--max-answers-mb", "4", "--max-rows", "20000"),
        *("--body-timeout", str(PATIENCE)),
    ]
    with begun(str(tiny_model("roberta").onnx), *arguments) as one:
        yield one


@pytest.fixture(scope="module")
def expected(server):
    """Whether the server answers an honest client as it did at first."""
    first = http_client.post(server.url, json={"inputs": TEXT}).json()
    return lambda: http_client.post(server.url, json={"inputs": TEXT}).json() == first


@pytest.fixture(autouse=True)
def all_is_given_back(server):
    yield
    for name in ("mlmfast_body_bytes", "mlmfast_answer_bytes", "mlmfast_texts_in_hand"):
        until(lambda name=name: server.metric(name) == 0)
    assert [line for line in server.lines if "Traceback" in line or "ASGI" in line] == []


class TestTexts:
    @pytest.mark.parametrize("path", ["/", "/v1/fill-mask", "/v1/fill", "/v1/score"])
    def test_one_that_is_too_long(self, server, path):
        failed = server.metric("mlmfast_failures_total", reason="text_too_long")
        texts = [TEXT, "way " * 500 + "<mask>"]
        answer = http_client.post(server.url + path, json={"inputs": texts})
        assert answer.status_code == 413
        assert "Text 2 has 2,006 characters" in answer.json()["error"]
        found = server.metric("mlmfast_failures_total", reason="text_too_long")
        assert found == failed + 1

    def test_one_that_is_cut(self, server):
        body = {"inputs": "way " * 450 + "<mask>", "truncate": True}
        assert http_client.post(f"{server.url}/v1/fill-mask", json=body).status_code == 200

    def test_a_target_that_is_too_long(self, server):
        body = {"inputs": TEXT, "targets": ["x" * 1001]}
        answer = http_client.post(f"{server.url}/v1/fill-mask", json=body)
        assert (answer.status_code, answer.json()["error_type"]) == (422, "too_long_target")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[" + "{}," * 60_000 + "{}]", "too_many_values"),
        ('{"inputs": [' + "[]," * 60_000 + "[]]}", "too_many_values"),
        ("{" + ",".join(f'"a{n}":1' for n in range(5_000)) + "}", "bad_request"),
        ('{"inputs": "<mask>", "b\\\\":"' + ',:[\\"' * 60_000 + '"}', "bad_request"),
    ],
)
def test_json_of_many_values_is_refused_before_it_is_validated(server, content, reason):
    answer = http_client.post(f"{server.url}/v1/fill-mask", content=content.encode())
    assert answer.status_code == 422
    assert answer.json()["error_type"] == reason
    assert len(answer.content) < 1000


def test_commas_in_texts_are_no_values(server):
    texts = [",:[" * 600 + '\\"' + " <mask>"] * 60
    body = {"inputs": texts, "truncate": True, "top_k": 1}
    assert http_client.post(f"{server.url}/v1/fill-mask", json=body).status_code == 200


def connect(server, stack, *, receive_bytes=None):
    connection = stack.enter_context(socket.socket())
    connection.settimeout(PATIENCE)
    if receive_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.connect(server.address)
    return connection


class TestBodies:
    def test_that_stall_give_way_to_others(self, server, expected):
        """Ten clients stop before the last byte; together they would hold 5 MB."""
        refused = server.metric("mlmfast_failures_total", protocol="fill-mask")
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (MB // 2)
        large = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
        with ExitStack() as stack:
            for _ in range(3):  # they are refused already, and do not know
                connect(server, stack).sendall(large)
                connect(server, stack).sendall(CHUNKED + b"80001\r\n" + bytes(MB // 2 + 1))
            for number in range(10):  # four of them take all the room
                connect(server, stack).sendall(head + bytes(MB // 2 - 1))
                held = min(number + 1, 4) * (MB // 2 - 1)
                until(lambda held=held: server.metric("mlmfast_body_bytes") >= held)
            body = json.dumps({"inputs": TEXT}).encode().ljust(MB // 2)
            until(lambda: http_client.post(server.url, content=body).status_code == 200)
            assert server.metric("mlmfast_body_bytes") <= 2 * MB
            assert expected()
        until(
            lambda: {line.get("reason") for line in server.log()} & {"stalled_body", "bodies_full"}
        )
        assert server.metric("mlmfast_failures_total") > refused

    def test_small_ones_find_room_beside_them(self, server, expected):
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n"
        with ExitStack() as stack:
            for _ in range(4):
                connect(server, stack).sendall(head + bytes(399_999))
            until(lambda: server.metric("mlmfast_body_bytes") == 4 * 399_999)
            assert all(expected() for _ in range(10))


class TestAnswers:
    def test_one_that_is_too_large(self, server):
        body = {"inputs": ["<mask> " * 16] * 3, "parameters": {"top_k": 300}}
        answer = http_client.post(server.url, json=body)
        assert answer.status_code == 422
        assert answer.json()["error_type"] == "answer_too_large"

    def test_a_large_one_is_whole(self, server):
        rows = http_client.post(server.url, content=LARGE).json()
        assert [len(of_mask) for of_mask in rows] == [300] * 16

    def test_that_nobody_reads_give_way_to_others(self, server, expected):
        """Thirty clients ask for a megabyte each and read nothing; then others do."""
        unread = server.metric("mlmfast_failures_total", reason="unread")
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(LARGE)
        with ExitStack() as stack:
            for _ in range(3):
                for _ in range(30):
                    connect(server, stack, receive_bytes=4096).sendall(head + LARGE)
                until(lambda: http_client.post(server.url, content=LARGE).status_code == 200)
                assert server.metric("mlmfast_answer_bytes") <= 4 * MB
                assert expected()
        until(lambda: server.metric("mlmfast_failures_total", reason="unread") > unread)

    def test_one_that_is_read_slowly_is_whole(self, server):
        with ExitStack() as stack:
            connection = connect(server, stack, receive_bytes=4096)
            head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            connection.sendall(head % len(LARGE) + LARGE)
            parts = []
            while part := connection.recv(5_000):
                parts.append(part)
        body = b"".join(parts).partition(b"\r\n\r\n")[2]
        assert [len(of_mask) for of_mask in json.loads(body)] == [300] * 16
