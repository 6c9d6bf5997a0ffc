"""Connections that are slow, half closed, vanish, or speak something else."""

from __future__ import annotations

import json
import socket
import time

import psutil
import pytest

from limited_server import (  # noqa: F401 (fixtures)
    BODY,
    impatient,
    post,
    raw,
    server,
    unharmed,
)
from raw_http import rest
from serving import PATIENCE


def half_closed(server, sent: bytes) -> bytes:
    """Send bytes and the end of them, and return all that comes until the server closes too."""
    with socket.create_connection(server.address, timeout=PATIENCE) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return rest(connection)


def test_headers_that_do_not_end(impatient):
    assert raw(impatient, b"POST / HTTP/1.1\r\nHost: x\r\nX-A: ").startswith(b"HTTP/1.1 408")


def test_headers_that_come_byte_by_byte(impatient):
    """Each byte is progress, and the time is over all the same."""
    with socket.create_connection(impatient.address, timeout=PATIENCE) as connection:
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


def test_a_connection_that_says_nothing_is_closed(impatient):
    assert raw(impatient) == b""


def test_a_connection_that_sends_empty_lines_is_closed(impatient):
    with socket.create_connection(impatient.address, timeout=PATIENCE) as connection:
        connection.sendall(b"\r\n")
        assert rest(connection) == b""


def test_headers_without_measure(server):
    answer = raw(server, b"GET / HTTP/1.1\r\n", b"X-A: 1\r\n" * 10_000)
    assert answer.startswith(b"HTTP/1.1 431")


def test_what_is_no_http(server):
    answer = raw(server, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 5)
    assert answer.startswith(b"HTTP/1.1 400")


def test_slow_clients_do_not_slow_others(server):
    held = []
    for _ in range(50):
        connection = socket.create_connection(server.address)
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Le")
        held.append(connection)
    assert post(server, BODY).status_code == 200
    for connection in held:
        connection.close()


def test_clients_that_vanish_leave_the_queue(server):
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


def test_clients_that_end_their_side_after_the_request_count_as_gone(server):
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
def test_clients_that_end_their_side_within_a_request_are_let_go(server, sent):
    process = psutil.Process(server.process.pid)
    before = process.num_fds()
    for _ in range(20):
        # No 408: that would be an answer to somebody who is waited for.
        assert half_closed(server, sent) == b""
    end = time.monotonic() + PATIENCE
    while process.num_fds() > before + 2:
        assert time.monotonic() < end


def test_pipelined_requests_are_answered_in_order(server):
    texts = [f"{word} <mask>" for word in ("paris", "berlin", "france")]
    request = b""
    for text in texts:
        body = json.dumps({"inputs": text, "parameters": {"top_k": 1}}).encode()
        request += b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    answer = raw(server, request + b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    places = [answer.index(text.split()[0].encode()) for text in texts]
    assert places == sorted(places)
    assert answer.count(b"HTTP/1.1 200") == 4


def test_no_descriptor_is_left_behind(server):
    process = psutil.Process(server.process.pid)
    before = process.num_fds()
    for _ in range(50):
        connection = socket.create_connection(server.address)
        connection.sendall(b"POST / HT")
        connection.close()
    end = time.monotonic() + PATIENCE
    while process.num_fds() > before + 2:
        assert time.monotonic() < end
