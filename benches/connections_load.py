"""Connections that are all opened at once and then ask in closed loops, and probes beside them.

`python benches/connections_load.py FILE` reads one `Crowd` as JSON from standard input and writes a
`Seen` as JSON to FILE. The probes, each on a connection of its own, come from a thread beside the
event loop, and wait for nothing but their server.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import uvloop
from http_responses import status_of

PROBE_SECONDS = 0.05
PATIENCE = 60.0


@dataclass(frozen=True)
class Crowd:
    """Who asks.

    Attributes:
        port: Of 127.0.0.1.
        clients: Connections.
        seconds: From the first attempt to connect until no more is asked.
        path: What is asked for.
        body: What is sent; empty for GET.
        probe_ports: Where probes ask for /health; each has its own thread.
    """

    port: int
    clients: int
    seconds: float
    path: str
    body: str = ""
    probe_ports: tuple[int, ...] = ()

    @property
    def request(self) -> bytes:
        """What every client sends."""
        body = self.body.encode()
        head = f"{'POST' if body else 'GET'} {self.path} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        about = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n" if body else ""
        return f"{head}{about}\r\n".encode() + body


@dataclass
class Seen:
    """What came back.

    Attributes:
        answered: Answers with status 200 a second.
        latencies: Seconds of each, in order.
        first: Seconds from the attempt to connect to the first answer of each client, in order.
        probes: Seconds of each probe, in order, by its place among the ports.
        others: How many answers had another status, and how many connections were lost.
    """

    answered: float = 0.0
    latencies: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    probes: list[list[float]] = field(default_factory=list)
    others: dict[str, int] = field(default_factory=dict)


def run(crowd: Crowd) -> Seen:
    """Let a process of its own ask."""
    with tempfile.NamedTemporaryFile() as file:
        done = subprocess.run(
            [sys.executable, __file__, file.name],
            input=json.dumps(asdict(crowd)),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the load failed:\n{done.stderr}")
        return Seen(**json.load(file))


class _Client(asyncio.Protocol):
    def __init__(self, crowd: _Asking) -> None:
        self._crowd, self._began, self._asked = crowd, time.perf_counter(), 0.0
        self._is_new, self._buffer = True, b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        status = status_of(self._buffer)
        if status is None:
            return
        self._buffer = b""
        self._crowd.count(status, time.perf_counter() - self._asked)
        if self._is_new:
            self._is_new = False
            self._crowd.seen.first.append(time.perf_counter() - self._began)
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._crowd.goes_on:
            self._crowd.count("lost", 0.0)

    def _ask(self) -> None:
        assert self._transport is not None
        if self._crowd.goes_on:
            self._asked = time.perf_counter()
            self._transport.write(self._crowd.request)


class _Asking:
    def __init__(self, crowd: Crowd) -> None:
        self.request, self.seen, self.goes_on = crowd.request, Seen(), True
        self._crowd = crowd
        self._others: Counter[str] = Counter()

    def count(self, status: str, seconds: float) -> None:
        if status == "200":
            self.seen.latencies.append(seconds)
        else:
            self._others[status] += 1

    async def work(self) -> Seen:
        loop, crowd = asyncio.get_running_loop(), self._crowd
        self.seen.probes = [[] for _ in crowd.probe_ports]
        probing = [
            threading.Thread(target=self._probe, args=(port, found))
            for port, found in zip(crowd.probe_ports, self.seen.probes, strict=True)
        ]
        began = time.perf_counter()
        connecting = [
            loop.create_connection(lambda: _Client(self), "127.0.0.1", crowd.port)
            for _ in range(crowd.clients)
        ]
        for thread in probing:
            thread.start()
        made = await asyncio.gather(*connecting, return_exceptions=True)
        self._others["not connected"] += sum(isinstance(one, OSError) for one in made)
        await asyncio.sleep(max(0.0, crowd.seconds - (time.perf_counter() - began)))
        self.goes_on = False
        self.seen.answered = len(self.seen.latencies) / (time.perf_counter() - began)
        await asyncio.to_thread(lambda: [thread.join() for thread in probing])
        self.seen.latencies.sort()
        self.seen.first.sort()
        self.seen.others = {name: count for name, count in self._others.items() if count}
        return self.seen

    def _probe(self, port: int, found: list[float]) -> None:
        while self.goes_on:
            time.sleep(PROBE_SECONDS)
            began = time.perf_counter()
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as own:
                    own.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                    own.recv(1000)
            except OSError:
                self._others["probe failed"] += 1
                continue
            found.append(time.perf_counter() - began)
        found.sort()


if __name__ == "__main__":
    told = json.load(sys.stdin)
    told["probe_ports"] = tuple(told["probe_ports"])
    seen = uvloop.run(_Asking(Crowd(**told)).work())
    Path(sys.argv[1]).write_text(json.dumps(asdict(seen)), encoding="utf-8")
