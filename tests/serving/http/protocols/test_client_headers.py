"""What the HTTP clients of other languages send by default, byte for byte.

The heads were captured from the versions that they are named after, so that the tests need none of
these clients. `TestClients` in `test_serve_protocol.py` runs those that are installed.
"""

from __future__ import annotations

import http.client
import json
import socket

import pytest

from limited_server import BODY, post, server, unharmed  # noqa: F401 (fixtures)
from serving import PATIENCE

FORM = "Content-Type: application/x-www-form-urlencoded"
JSON = "Content-Type: application/json"
LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
HOST = "Host: 127.0.0.1:8080"

HEADS = {
    "ruby 3.1, net/http": [
        "Accept-Encoding: gzip;q=1.0,deflate;q=0.6,identity;q=0.3",
        *("Accept: */*", "User-Agent: Ruby", HOST, LENGTH, FORM),
    ],
    "php 8.2, streams": [HOST, "Connection: close", LENGTH, JSON],
    "go 1.19, net/http": [
        *(HOST, "User-Agent: Go-http-client/1.1", LENGTH, JSON, "Accept-Encoding: gzip"),
    ],
    "go 1.19, net/http, a reader": [
        *(HOST, "User-Agent: Go-http-client/1.1", "Transfer-Encoding: chunked", JSON),
        "Accept-Encoding: gzip",
    ],
    "java 17, java.net.http": [
        *("Connection: Upgrade, HTTP2-Settings", LENGTH, HOST),
        "HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA",
        *("Upgrade: h2c", "User-Agent: Java-http-client/17.0.15"),
    ],
    "java 17, HttpURLConnection": [
        *("User-Agent: Java/17.0.15", HOST),
        "Accept: text/html, image/gif, image/jpeg, */*; q=0.2",
        *("Connection: keep-alive", FORM.replace("Type", "type"), LENGTH),
    ],
    "node 20, http": [HOST, "Connection: keep-alive", LENGTH],
    "node 20, fetch with a type": [
        *(HOST.lower(), "connection: keep-alive", JSON.lower(), "accept: */*"),
        *("accept-language: *", "sec-fetch-mode: cors", "user-agent: node"),
        *("accept-encoding: gzip, deflate", LENGTH.lower()),
    ],
    "curl 7.88": [HOST, "User-Agent: curl/7.88.1", "Accept: */*", LENGTH, FORM],
    "curl 7.88 --http2": [
        *(HOST, "User-Agent: curl/7.88.1", "Accept: */*", "Connection: Upgrade, HTTP2-Settings"),
        *("Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA", LENGTH, FORM),
    ],
    "wget 1.21": [
        *(HOST, "User-Agent: Wget/1.21.3", "Accept: */*", "Accept-Encoding: identity"),
        *("Connection: Keep-Alive", FORM, LENGTH),
    ],
    "python 3.11, urllib": [
        *("Accept-Encoding: identity", FORM, LENGTH, HOST, "User-Agent: Python-urllib/3.11"),
        "Connection: close",
    ],
    "perl 5, HTTP::Tiny": [
        *(HOST, LENGTH, "Content-Type: application/octet-stream", "User-Agent: HTTP-Tiny/0.080"),
    ],
}


def sent(lines: list[str]) -> bytes:
    head = "\r\n".join(["POST / HTTP/1.1", *lines, "", ""]).encode()
    return head + (CHUNKED if "Transfer-Encoding: chunked" in lines else BODY)


def answer(connection: socket.socket) -> http.client.HTTPResponse:
    response = http.client.HTTPResponse(connection, method="POST")
    response.begin()
    return response


@pytest.mark.parametrize("client", HEADS)
def test_a_client_is_answered(server, client):
    """Twice over one connection, where the client keeps it."""
    lines, expected = HEADS[client], post(server, BODY).json()
    with socket.create_connection(server.address, timeout=PATIENCE) as connection:
        for _ in range(1 if "Connection: close" in lines else 2):
            connection.sendall(sent(lines))
            response = answer(connection)
            assert response.status == 200
            assert json.loads(response.read()) == expected


def test_fetch_of_a_string_needs_a_type(server):
    """It says `text/plain`, which pages of other sites may send without asking."""
    lines = [
        line.replace("application/json", "text/plain;charset=UTF-8")
        for line in HEADS["node 20, fetch with a type"]
    ]
    with socket.create_connection(server.address, timeout=PATIENCE) as connection:
        connection.sendall(sent(lines))
        response = answer(connection)
        assert response.status == 415
        assert "Content-Type: application/json" in json.loads(response.read())["error"]
