"""Accepting connections on an event loop, without a server around it."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from mlmfast.serving.http.sockets.acceptor import RESERVE, Acceptor
from mlmfast.serving.http.telemetry.metrics import Metrics


class Held(asyncio.Protocol):
    """A connection that says nothing."""

    def __init__(self, acceptor: Acceptor, *, idle: bool):
        self.acceptor, self.idle, self.evicted = acceptor, idle, False
        self.transport = self.client = None

    def connection_made(self, transport):
        self.transport, self.client = transport, transport.get_extra_info("peername")

    def connection_lost(self, _error):
        self.acceptor.closed(evicted=self.evicted)

    def waiting_since(self):
        return 0.0 if self.idle and not self.evicted else None

    def fileno(self):
        return self.transport.get_extra_info("socket").fileno()

    def evict(self):
        self.evicted = True
        self.transport.close()


@pytest.fixture(params=["asyncio", "uvloop"])
def loop_factory(request):
    return pytest.importorskip("uvloop").new_event_loop if request.param == "uvloop" else None


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0), backlog=512) as one:
        yield one


@pytest.fixture
def connect(listening):
    """Open connections, of which the server knows nothing yet."""
    with contextlib.ExitStack() as stack:

        def more(number):
            address = listening.getsockname()
            return [stack.enter_context(socket.create_connection(address)) for _ in range(number)]

        yield more


def run(loop_factory, work):
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(work())


async def until_true(holds):
    while not holds():
        await asyncio.sleep(0)


def test_all_that_wait_are_accepted_in_one_turn(loop_factory, listening, connect):
    """uvloop by itself takes one turn for each."""
    connect(200)

    async def work():
        acceptor = Acceptor(1000, Metrics())
        acceptor.start([listening], lambda: Held(acceptor, idle=False))
        seen = []
        while acceptor.open < 200:
            await asyncio.sleep(0)
            if acceptor.open and acceptor.open not in seen:
                seen.append(acceptor.open)
        assert seen == [200]
        await until_true(lambda: not acceptor.is_beginning)
        acceptor.stop()

    run(loop_factory, work)


def test_idle_connections_make_room_for_new_ones(loop_factory, listening, connect):
    connect(32)

    async def work():
        acceptor, held = Acceptor(32, Metrics()), []

        def make():
            held.append(Held(acceptor, idle=True))
            return held[-1]

        acceptor.connections = held
        acceptor.start([listening], make)
        await until_true(lambda: len(held) == 32)
        connect(1)
        await until_true(lambda: len(held) == 33 and acceptor.open == 31)
        assert [one.evicted for one in held].count(True) == 2
        assert not held[-1].evicted
        acceptor.stop()

    run(loop_factory, work)


class Unread(Held):
    """A connection of an event loop that is late: what its client has sent lies in the kernel."""

    def connection_made(self, transport):
        super().connection_made(transport)
        transport.pause_reading()


def test_a_connection_whose_request_was_not_read_yet_stays(loop_factory, listening, connect):
    first = connect(32)

    async def work():
        acceptor, held = Acceptor(32, Metrics()), []

        def make():
            held.append(Unread(acceptor, idle=True))
            return held[-1]

        acceptor.connections = held
        acceptor.start([listening], make)
        await until_true(lambda: len(held) == 32)
        for one in first[1:]:
            one.sendall(b"GET")
        connect(1)
        await until_true(lambda: len(held) == 33 and acceptor.open <= 32)
        silent = first[0].getsockname()
        assert [one.client for one in held if one.evicted] == [silent]
        acceptor.stop()

    run(loop_factory, work)


def test_busy_connections_stay_and_new_ones_wait(loop_factory, listening, connect):
    first = connect(5 + RESERVE + 3)

    async def work():
        acceptor, held = Acceptor(5, Metrics()), []

        def make():
            held.append(Held(acceptor, idle=False))
            return held[-1]

        acceptor.connections = held
        acceptor.start([listening], make)
        await until_true(lambda: len(held) == 5 + RESERVE)
        for _ in range(20):
            await asyncio.sleep(0)
        assert acceptor.open == 5 + RESERVE
        assert acceptor.is_over
        for one in first[:4]:
            one.close()
        await until_true(lambda: len(held) == 5 + RESERVE + 3)
        acceptor.stop()

    run(loop_factory, work)
