"""Connections of an event loop that was busy for longer than they may wait."""

from __future__ import annotations

import asyncio
import socket
import time
from types import SimpleNamespace

import pytest
import uvicorn

from mlmfast.serving.http.middleware.connection import connections
from mlmfast.serving.http.sockets.acceptor import Acceptor
from mlmfast.serving.http.telemetry.metrics import Metrics

REQUEST = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"
KEEP_ALIVE = 1
LATE = 1.3
"""Seconds in which the event loop does something else."""


async def _app(scope, _receive, send):
    assert scope["type"] == "http"
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]}
    )
    await send({"type": "http.response.body"})


@pytest.fixture(params=["asyncio", "uvloop"])
def loop_factory(request):
    return pytest.importorskip("uvloop").new_event_loop if request.param == "uvloop" else None


async def _serve(talk):
    """Serve on a free port, and let a client talk to it."""
    service = SimpleNamespace(settings=SimpleNamespace(header_timeout=KEEP_ALIVE))
    acceptor = Acceptor(10, Metrics())
    kind = connections(service, acceptor)
    config = uvicorn.Config(
        _app, http=kind, timeout_keep_alive=KEEP_ALIVE, lifespan="off", log_config=None
    )
    config.load()
    state = uvicorn.server.ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: kind(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    async with server:
        client = socket.socket()
        client.setblocking(False)
        with client:
            await loop.sock_connect(client, server.sockets[0].getsockname())
            await talk(client)


def _run(loop_factory, talk):
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_serve(talk))


async def _received(client):
    return await asyncio.get_running_loop().sock_recv(client, 65536)


def test_a_request_that_came_in_time_is_answered_though_it_is_read_late(loop_factory):
    async def talk(client):
        client.send(REQUEST)
        assert (await _received(client)).startswith(b"HTTP/1.1 200")
        client.send(REQUEST)
        time.sleep(LATE)  # nothing is read meanwhile, and the time to wait ends
        assert (await _received(client)).startswith(b"HTTP/1.1 200")

    _run(loop_factory, talk)


def test_an_idle_connection_is_closed_after_its_time(loop_factory):
    async def talk(client):
        client.send(REQUEST)
        await _received(client)
        assert await _received(client) == b""

    _run(loop_factory, talk)
