"""Ten minutes of hostile and honest clients against one `mlmfast serve`.

    python tests/tools/soak_server.py onnx/ [--minutes 10] [--honest 16]

Passes if every honest answer is the one that an idle server gave, 99 of 100 probes of the admin
port take less than `--probe-ms`, each attack was refused, and memory in the second half of the time
is what it was in the first. Refusals with 429 and 503 are right too, and honest clients ask again.
Probes come from a process of their own. Those of the server's other port are shown beside them, and
those of a bare echo server, which say how busy the machine is.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import multiprocessing
import random
import socket
import sys
import threading
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from serving import Serving, begun

WORDS = ("paris", "is", "the", "capital", "of", "france", "it", "does", "not", "rain", "far", "way")
# Scores may differ by so much in another batch.
TOLERANCE = 2e-3
GROWTH_MB = 48
PROBE_SECONDS = 0.1
ECHO = "a bare echo server"
ADMIN = "the admin port"
MB = 1 << 20


class Soak:
    """The server, the clients, and what they saw."""

    def __init__(self, server: Serving, mask: str, seconds: float):
        self.server = server
        self.mask = mask
        self.over = threading.Event()
        timer = threading.Timer(seconds, self.over.set)
        timer.daemon = True
        timer.start()
        self.seen: Counter[str] = Counter()
        self.faults: list[str] = []
        self.memory: list[int] = []
        random.seed(1)
        self.asked = [self.body(number) for number in range(40)]
        self.expected = [self.ask(body)[1] for body in self.asked]
        keys = ",".join(f'"a{number}":1' for number in range(180_000))
        self.hostile = {
            "keys": f"{{{keys}}}".encode(),
            "values": b'{"inputs": [' + b"1," * 900_000 + b"1]}",
            "lists": b"[" + b"[]," * 600_000 + b"[]]",
            "zeros": gzip.compress(bytes(50 * MB)),
            "huge": json.dumps({"inputs": f"{mask} " + "way " * 480_000}).encode(),
            "long": json.dumps({"inputs": f"{mask} " + "way " * 24_000}).encode(),
            "large": json.dumps({"inputs": f"{mask} " * 25, "top_k": 300}).encode(),
        }

    def body(self, number: int) -> bytes:
        words = random.choices(WORDS, k=random.randint(3, 20))
        words[random.randrange(len(words))] = self.mask
        text = " ".join(words)
        inputs = [text] * random.randint(2, 8) if number % 4 == 0 else text
        return json.dumps({"inputs": inputs, "top_k": 5}).encode()

    def ask(self, body: bytes, path: str = "/v1/fill-mask") -> tuple[int, dict]:
        connection = http.client.HTTPConnection(*self.server.address, timeout=60)
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    @property
    def running(self) -> bool:
        return not self.over.is_set()

    def run(self, honest: int) -> None:
        attacks = (
            *(self.huge_text, self.many_values, self.many_keys, self.large_answers_unread),
            *(self.stalled_bodies, self.slow_headers, self.trailers, self.packed_zeros),
            *(self.broken_http, self.vanish, self.wrong_hosts),
        )
        jobs = [*[self.honest] * honest, self.watch, *attacks]
        threads = [threading.Thread(target=self.guarded, args=(job,)) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def guarded(self, job) -> None:
        while self.running:
            try:
                job()
            except OSError as error:  # the server may close the connection of an attacker
                if job == self.honest:
                    self.faults.append(f"{job.__name__}: {error!r}")
            except Exception as error:  # noqa: BLE001 - a fault of any kind is reported
                self.faults.append(f"{job.__name__}: {error!r}")

    # Honest clients.

    def honest(self) -> None:
        number = random.randrange(len(self.asked))
        status, found = self.ask(self.asked[number])
        self.seen[f"honest {status}"] += 1
        if status in (429, 503):
            self.pause(1)
        elif status != 200 or not same(found["answers"], self.expected[number]["answers"]):
            self.faults.append(f"a wrong answer: {status} {str(found)[:300]}")

    def watch(self) -> None:
        self.memory.append(psutil.Process(self.server.process.pid).memory_info().rss)
        self.pause(1)

    # Hostile clients.

    def refused(self, what: str, statuses: tuple[int, ...], body: bytes, path="/v1/fill-mask"):
        status, _ = self.ask(body, path)
        self.seen[f"{what} {status}"] += 1
        if status not in (*statuses, 429, 503):
            self.faults.append(f"{what}: {status}")

    def huge_text(self) -> None:
        self.refused("huge text", (413, 422), self.hostile["huge"])
        self.refused("long text", (422,), self.hostile["long"])
        self.pause(0.2)

    def many_values(self) -> None:
        self.refused("many values", (422,), self.hostile["values"])
        self.refused("many lists", (422,), self.hostile["lists"], "/")
        self.pause(0.2)

    def many_keys(self) -> None:
        self.refused("many keys", (422,), self.hostile["keys"])
        self.pause(0.2)

    def large_answers_unread(self) -> None:
        """Ask for megabytes again and again, and read nothing."""
        body = self.hostile["large"]
        head = b"POST /v1/fill-mask HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        sockets = []
        for _ in range(20):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(self.server.address)
            connection.sendall(head + body)
            sockets.append(connection)
        self.pause(5)
        self.close("unread", sockets)

    def stalled_bodies(self) -> None:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1500000\r\n\r\n"
        sockets = []
        for _ in range(20):
            connection = socket.create_connection(self.server.address, timeout=60)
            connection.sendall(head + bytes(1_499_999))
            sockets.append(connection)
        self.pause(5)
        self.close("stalled", sockets)

    def slow_headers(self) -> None:
        sockets = [socket.create_connection(self.server.address, timeout=60) for _ in range(50)]
        for connection in sockets:
            connection.sendall(b"POST / HT")
        self.pause(5)
        self.close("slow headers", sockets)

    def trailers(self) -> None:
        with socket.create_connection(self.server.address, timeout=60) as connection:
            connection.sendall(
                b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
            )
            for _ in range(1000):
                connection.sendall(b"X-A: 1\r\n" * 1000)
        self.seen["megabytes of trailers"] += 8

    def packed_zeros(self) -> None:
        connection = http.client.HTTPConnection(*self.server.address, timeout=60)
        connection.request("POST", "/", self.hostile["zeros"], {"Content-Encoding": "gzip"})
        self.seen[f"packed zeros {connection.getresponse().status}"] += 1
        connection.close()
        self.pause(1)

    def broken_http(self) -> None:
        with socket.create_connection(self.server.address, timeout=60) as connection:
            connection.sendall(random.randbytes(4000))
            connection.recv(1000)
        self.seen["broken HTTP"] += 1
        self.pause(0.2)

    def vanish(self) -> None:
        body = json.dumps({"inputs": [f"way {self.mask} " * 8] * 64}).encode()
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        with socket.create_connection(self.server.address, timeout=60) as connection:
            connection.sendall(head + body)
        self.seen["vanished"] += 1
        self.pause(0.5)

    def wrong_hosts(self) -> None:
        with socket.create_connection(self.server.address, timeout=60) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n")
            connection.recv(1000)
        self.pause(0.5)

    def pause(self, seconds: float) -> None:
        """Hold back for so long, or until the time is over."""
        self.over.wait(seconds)

    def close(self, what: str, sockets: list[socket.socket]) -> None:
        self.seen[what] += len(sockets)
        for connection in sockets:
            connection.close()

    # The verdict.

    def report(self, probes: dict[str, list[float]], probe_ms: float) -> list[str]:
        """Print what was seen; return what is wrong."""
        wrong = self.faults[:20]
        for name, count in sorted(self.seen.items()):
            print(f"{count:8,} {name}")
        for name, times in probes.items():
            p50, p99 = (times[int(part * (len(times) - 1))] * 1e3 for part in (0.5, 0.99))
            most = times[-1] * 1e3
            print(f"{name}: {len(times):,}, p50 {p50:.1f} ms, p99 {p99:.1f}, most {most:.1f}")
            if name == ADMIN and p99 > probe_ms:
                wrong.append(f"{name}: one of a hundred took more than {p99:.0f} ms")
        half = len(self.memory) // 2
        first, second = max(self.memory[:half]) / MB, max(self.memory[half:]) / MB
        print(f"memory: at most {first:.0f} MB in the first half, {second:.0f} in the second")
        if second - first > GROWTH_MB:
            wrong.append(f"memory grew from {first:.0f} to {second:.0f} MB")
        if not any(name.startswith("honest 200") for name in self.seen):
            wrong.append("no honest client had an answer")
        wrong += [line[-1500:] for line in self.server.lines if "Traceback" in line][:5]
        return wrong


def probe(addresses: dict[str, tuple[str, int]], told: Connection) -> None:
    """Probe ports of the server and a bare echo server in turns, until the other end says stop.

    The seconds that each took are sent then.
    """
    echo = socket.create_server(("127.0.0.1", 0))
    context = multiprocessing.get_context("fork")
    context.Process(target=answer_echoes, args=(echo,), daemon=True).start()
    times: dict[str, list[float]] = {name: [] for name in (ECHO, *addresses)}
    while not told.poll(PROBE_SECONDS):
        started = time.monotonic()
        with socket.create_connection(echo.getsockname()) as connection:
            connection.sendall(b"x")
            connection.recv(1)
        times[ECHO].append(time.monotonic() - started)
        for name, address in addresses.items():
            started = time.monotonic()
            connection = http.client.HTTPConnection(*address, timeout=60)
            connection.request("GET", "/v2/health/ready")
            if connection.getresponse().status != 200:
                raise SystemExit("the server was not ready")
            connection.close()
            times[name].append(time.monotonic() - started)
    told.send({name: sorted(each) for name, each in times.items()})


def answer_echoes(listening: socket.socket) -> None:
    while True:
        connection, _ = listening.accept()
        with connection:
            connection.sendall(connection.recv(1))


def admin_address(server: Serving) -> tuple[str, int]:
    (line,) = [line for line in server.lines if line.startswith("Health and metrics on ")]
    host, _, port = line.removeprefix("Health and metrics on http://").partition(":")
    return host, int(port)


def same(found, expected) -> bool:
    """Whether answers are equal, scores to the rounding of another batch."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            same(found[key], expected[key]) for key in expected
        )
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, float):
        return abs(found - expected) <= TOLERANCE
    return bool(found == expected)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--honest", type=int, default=16, help="honest clients")
    parser.add_argument("--probe-ms", type=float, default=100)
    options = parser.parse_args()
    limits = ["--max-bodies-mb", "16", "--max-answers-mb", "32", "--body-timeout", "30"]
    report = json.loads((Path(options.model) / "export_report.json").read_text(encoding="utf-8"))
    if report["precision"] == "int8":  # whose answers depend on the texts that share a batch
        limits += ["--batching", "independent"]
    with begun(options.model, *limits, "--admin-port", "0") as server:
        connection = http.client.HTTPConnection(*server.address)
        connection.request("GET", "/v1/models")
        mask = json.loads(connection.getresponse().read())["models"][0]["mask_token"]
        soak = Soak(server, mask, options.minutes * 60)
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        # It is no daemon, since it has a process of its own.
        ports = {"the port": server.address, ADMIN: admin_address(server)}
        prober = context.Process(target=probe, args=(ports, there))
        prober.start()
        there.close()  # so that the end of the prober ends `recv` too
        soak.run(options.honest)
        # Received before it is joined: it ends once all that it sends, more than a pipe holds, is.
        try:
            here.send("stop")
            probes = here.recv()
        except (EOFError, OSError):
            probes = {"the prober": [60.0]}
        prober.join()
        status, answer = soak.ask(soak.asked[0])
        wrong = soak.report(probes, options.probe_ms)
        if status != 200 or not same(answer["answers"], soak.expected[0]["answers"]):
            wrong.append("the server answers otherwise afterwards")
    print("\n".join(wrong) or "nothing is wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
