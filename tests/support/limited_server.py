"""A server with small limits, which every test must leave unharmed."""

from __future__ import annotations

import json
import socket
import time

import pytest

import http_client
from raw_http import rest
from serving import PATIENCE, begun

TEXT = "paris is the <mask> of france"
BODY = json.dumps({"inputs": TEXT}).encode()
LIMIT = 64 << 10


@pytest.fixture(scope="module")
def server(tiny_model):
    arguments = [
        *("--max-body-mb", str(LIMIT / 2**20)),
        *("--max-texts", "20", "--max-queue", "40", "--max-rows", "1000"),
    ]
    with begun(str(tiny_model("roberta").onnx), *arguments) as one:
        yield one


@pytest.fixture(scope="module")
def impatient(tiny_model):
    """A server for slow clients alone: on a busy machine, every client is slow at times."""
    arguments = ["--header-timeout", "0.5", "--body-timeout", "0.5"]
    with begun(str(tiny_model("roberta").onnx), *arguments, ready=False) as one:
        yield one


@pytest.fixture(autouse=True)
def unharmed(server):
    """After each test the server answers as before, holds nothing, and has logged no fault."""
    yield
    assert http_client.post(server.url, content=BODY).status_code == 200
    end = time.monotonic() + PATIENCE
    while server.metric("mlmfast_texts_in_hand"):
        assert time.monotonic() < end
    assert not any("Traceback" in line for line in server.lines)


def post(server, content, path="/", **headers):
    return http_client.post(server.url + path, content=content, headers=headers)


def raw(server, *parts: bytes) -> bytes:
    """Send bytes, and return all that comes until the server closes the connection."""
    with socket.create_connection(server.address, timeout=PATIENCE) as connection:
        for part in parts:
            connection.sendall(part)
        return rest(connection)
