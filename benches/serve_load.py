"""Clients of a server, in a process of their own: closed loops, or an open loop of a given rate.

`python benches/serve_load.py` reads one `Load` as JSON from standard input and writes one line of
JSON, a `Seen`. Nothing but sockets and a scan for the length of an answer: a client's own cost is
part of what is seen, since all share the cores, and is counted.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import subprocess
import sys
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, field

import uvloop
from http_responses import status_of

SETTLE_SECONDS = 0.3
BURST_SECONDS, MOST_BURST_SECONDS = 0.004, 0.2
SEED = 7


@dataclass(frozen=True)
class Load:
    """What is asked, and how fast.

    Attributes:
        port: Of 127.0.0.1.
        path: Where to POST.
        texts: In turn, each the `inputs` of a request.
        seconds: In which answers count (closed loops), or requests begin (open loop).
        clients: Each asks anew once it is answered; 0 in an open loop.
        rate: Requests a second, at random (Poisson); 0 in closed loops.
        patience: Seconds after which what is not answered is given up.
    """

    port: int
    path: str
    texts: list[str]
    seconds: float
    clients: int = 0
    rate: float = 0.0
    patience: float = 60.0


@dataclass
class Seen:
    """What came back.

    Attributes:
        seconds: The time that the counts are of.
        latencies: Seconds of the requests answered by 200: in a closed loop since they were sent,
            in an open loop since they were due.
        statuses: Status -> answers; "lost" for connections that closed without one, "unanswered".
        cpu: Seconds of processor time that this process took for a request.
    """

    seconds: float
    latencies: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    cpu: float = 0.0

    @property
    def answered(self) -> float:
        """Requests a second that were answered by 200."""
        return len(self.latencies) / self.seconds

    @property
    def failures(self) -> int:
        """Requests neither answered nor refused with 429."""
        return sum(count for status, count in self.statuses.items() if status not in ("200", "429"))


def run(load: Load) -> Seen:
    """Start the process, and wait for what it saw."""
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps(asdict(load)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the load failed:\n{done.stderr}")
    return Seen(**json.loads(done.stdout))


class _Client(asyncio.Protocol):
    """One connection, with one request on its way at most."""

    def __init__(self, crowd: _Crowd) -> None:
        self._crowd = crowd
        self._buffer = b""
        self._asked: float | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def ask(self, request: bytes, since: float) -> None:
        assert self.transport is not None
        self._asked = since
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        status = status_of(self._buffer)
        if status is None:
            return
        self._buffer = b""
        self._tell(status)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self._asked is not None:
            self._tell("lost")

    def _tell(self, status: str) -> None:
        since, self._asked = self._asked, None
        assert since is not None
        self._crowd.answered(self, status, since)


class _Crowd:
    def __init__(self, load: Load) -> None:
        self._load = load
        bodies = [json.dumps({"inputs": text}).encode() for text in load.texts]
        self._requests = itertools.cycle(
            b"POST %s HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%s" % (load.path.encode(), len(body), body)
            for body in bodies
        )
        self._idle: deque[_Client] = deque()
        self._on_their_way = 0
        self._asked = 0
        self._all_done = asyncio.Event()
        self._asking = True
        self._settled = 0
        self._last = 0.0
        self._seen = Seen(load.seconds)
        self._statuses: Counter[str] = Counter()
        self._counting = False
        self._cpu_before = time.process_time()

    def answered(self, client: _Client, status: str, since: float) -> None:
        """Count an answer, and ask the next question in a closed loop."""
        now = time.perf_counter()
        self._on_their_way -= 1
        self._settled += 1
        self._last = now
        if self._counting:
            self._statuses[status] += 1
            if status == "200":
                self._seen.latencies.append(now - since)
        if self._load.clients and self._asking and client.transport:
            self._ask(client, now)
        elif client.transport and not client.transport.is_closing():
            self._idle.append(client)
        if not self._on_their_way:
            self._all_done.set()

    async def closed(self) -> Seen:
        """Let each client ask, until all that began are answered."""
        load = self._load
        clients = [await self._connect() for _ in range(load.clients)]
        begun = time.perf_counter()
        for client in clients:
            self._ask(client, time.perf_counter())
        # Those who came first found an empty queue: their answers do not count.
        while self._settled < load.clients or time.perf_counter() - begun < SETTLE_SECONDS:
            if time.perf_counter() - begun > load.patience:
                break
            await asyncio.sleep(0.01)
        start = await self._end_of_burst()
        self._counting = True
        await asyncio.sleep(load.seconds)
        self._seen.seconds = await self._end_of_burst() - start
        self._counting = False
        await self._end()
        return self._seen

    async def _end_of_burst(self) -> float:
        """Wait until answers have come and stopped coming; when the last of them came.

        A batch is answered all at once: a time that begins or ends between batches would be of
        more or less work than was done in it.
        """
        before, begun = self._last, time.perf_counter()
        while self._last == before or time.perf_counter() - self._last < BURST_SECONDS:
            now = time.perf_counter()
            # Answers that never pause, or never come.
            if now - begun > (MOST_BURST_SECONDS if self._last > before else self._load.patience):
                break
            await asyncio.sleep(BURST_SECONDS / 2)
        return self._last

    async def open(self) -> Seen:
        """Ask at random moments, whatever is answered."""
        load, rng = self._load, random.Random(SEED)
        self._counting = True
        start = due = time.perf_counter()
        while (due := due + rng.expovariate(load.rate)) < start + load.seconds:
            # A moment that has passed must not starve the answers.
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            client = self._idle.popleft() if self._idle else await self._connect()
            while client.transport is None or client.transport.is_closing():
                client = self._idle.popleft() if self._idle else await self._connect()
            self._ask(client, due)
        await self._end()
        self._seen.seconds = time.perf_counter() - start
        return self._seen

    async def _connect(self) -> _Client:
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(
            lambda: _Client(self), "127.0.0.1", self._load.port
        )
        return client

    def _ask(self, client: _Client, since: float) -> None:
        self._on_their_way += 1
        self._asked += 1
        self._all_done.clear()
        client.ask(next(self._requests), since)

    async def _end(self) -> None:
        self._asking = False
        if self._on_their_way:
            try:
                await asyncio.wait_for(self._all_done.wait(), self._load.patience)
            except TimeoutError:
                self._statuses["unanswered"] = self._on_their_way
        self._seen.statuses = dict(self._statuses)
        self._seen.cpu = (time.process_time() - self._cpu_before) / max(1, self._asked)


async def _main(load: Load) -> Seen:
    crowd = _Crowd(load)
    return await (crowd.closed() if load.clients else crowd.open())


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(_main(Load(**json.load(sys.stdin)))))))
