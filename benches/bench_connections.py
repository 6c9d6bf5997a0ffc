"""P8: many connections at once, `mlmfast serve` beside the hello-world of uvicorn and granian.

`python benches/bench_connections.py --clients 64 --seconds 2 --rounds 1` tries it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import socket
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import harness
from connections_load import Crowd, Seen, run
from fill_mask_input import models
from peer_packages import installed
from serve_ways import Server, Way

import mlmfast

GRANIAN = "granian==2.8.7"
CLIENTS = (64, 512, 2048)
ROUNDS = 3
SECONDS = 5.0
BODY = '{"inputs": "Paris is the [MASK] of France."}'


@dataclass(frozen=True)
class Asked:
    """A server, and what the clients ask of it."""

    label: str
    server: Server
    path: str
    body: str = ""
    admin_port: int | None = None


def contenders(folder: Path, stack: contextlib.ExitStack) -> tuple[list[Asked], list[str]]:
    """Start all servers; and say why one is left out."""
    beside, left_out = str(Path(__file__).parent), []
    hello = ["serve_hello:app", "--port"]
    ways = [
        Way(
            "uvicorn, hello-world",
            [
                *(sys.executable, "-m", "uvicorn", "--app-dir", beside),
                *("--log-level", "warning", "--no-access-log", *hello),
            ],
        )
    ]
    packages, problem = installed(GRANIAN)
    if problem is None:
        command = [sys.executable, "-m", "granian", "--interface", "asgi", "--backlog", "2048"]
        command += ["--working-dir", beside, "--no-access-log", "--log-level", "warning", *hello]
        ways.append(Way("granian, hello-world", command, packages=packages))
    else:
        left_out.append(f"granian is left out: {problem}")
    model = models(folder, ["splade"])[0]
    engine = Path(mlmfast.export(model.checkpoint, folder / "onnx").output)
    with socket.create_server(("127.0.0.1", 0)) as free:
        admin: int = free.getsockname()[1]
    command = [sys.executable, "-m", "mlmfast", "serve", f"model={engine}", "--device", "cpu"]
    command += ["--admin-port", str(admin), "--max-queue", "4096", "--port"]
    ours = Way("mlmfast serve", command, engine=engine)
    servers = []
    for number, way in enumerate([*ways, ours]):
        servers.append(Server(way, folder / f"server-{number}.log"))
        stack.callback(servers[-1].stop)
    found = [Asked(one.way.label, one, "/") for one in servers[:-1]]
    found.append(Asked("**mlmfast serve**, /v2/health/live", servers[-1], "/v2/health/live"))
    found.append(Asked("**mlmfast serve**, fill-mask", servers[-1], "/v1/fill-mask", BODY, admin))
    return found, left_out


def asked_at_once(asked: Asked, clients: int, seconds: float) -> tuple[Seen, float]:
    """Let a crowd ask one server, which alone runs meanwhile; and its processor time."""
    ports = [asked.server.port, *([asked.admin_port] if asked.admin_port else [])]
    before = asked.server.processor_seconds()
    asked.server.go()
    try:
        crowd = Crowd(asked.server.port, clients, seconds, asked.path, asked.body, tuple(ports))
        seen = run(crowd)
        return seen, asked.server.processor_seconds() - before
    finally:
        asked.server.hold()


def table(cells: dict[tuple[int, str], list[tuple[Seen, float]]]) -> list[str]:
    """One row for each number of connections and server."""
    names = ["connections", "", "answers/s", "(min - max)", "processor time an answer"]
    names += ["p50", "p99", "last to be answered"]
    names += ["probe p50", "probe max", "on the admin port p50", "max", "others"]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for (clients, label), runs in cells.items():
        seen = [one for one, _ in runs]
        speeds = [one.answered for one in seen]
        latencies = sorted(each for one in seen for each in one.latencies)
        spent = sum(seconds for _, seconds in runs) / max(1, len(latencies))
        last = statistics.median(max(one.first, default=float("nan")) for one in seen)
        unanswered = sum(clients - len(one.first) for one in seen)
        others = {name for one in seen for name in one.others}
        counts = [f"{name}: {sum(one.others.get(name, 0) for one in seen)}" for name in others]
        counts += [f"never answered: {unanswered}"] if unanswered else []
        row = [
            str(clients),
            label,
            harness.number(statistics.median(speeds)),
            f"{harness.number(min(speeds))} - {harness.number(max(speeds))}",
            harness.duration(spent),
            *(_at(latencies, part) for part in (0.5, 0.99)),
            harness.duration(last),
        ]
        for place in range(2):
            probes = sorted(
                each for one in seen if len(one.probes) > place for each in one.probes[place]
            )
            row += [_at(probes, 0.5), _at(probes, 1.0)]
        lines.append("| " + " | ".join([*row, ", ".join(sorted(counts))]) + " |")
    return lines


def _at(ordered: Sequence[float], part: float) -> str:
    if not ordered:
        return ""
    return harness.duration(ordered[min(len(ordered) - 1, int(part * len(ordered)))])


def main(given: Sequence[str] | None = None) -> list[str]:
    """Run the measurements; the lines of the report.

    Args:
        given: Settings; None: those of the variable MLMFAST_BENCH_CONNECTIONS.
    """
    if given is None:
        given = shlex.split(os.environ.get("MLMFAST_BENCH_CONNECTIONS", ""))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="runs of each load")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each run")
    parser.add_argument("--clients", nargs="+", type=int, default=[*CLIENTS])
    wanted = parser.parse_args(given)
    # Whoever ends this process ends the servers with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cells: dict[tuple[int, str], list[tuple[Seen, float]]] = {}
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        found, left_out = contenders(Path(name), stack)
        for clients in wanted.clients:
            for _ in range(wanted.rounds):
                for asked in found:
                    seen = asked_at_once(asked, clients, wanted.seconds)
                    cells.setdefault((clients, asked.label), []).append(seen)
    note = (
        "All connections are opened at the same moment, and each asks anew once it is answered: "
        f"{wanted.rounds} rounds of {wanted.seconds:g} s, the servers in turn, each held still "
        "while the others are asked. Clients, probes and server share the cores. Answers/s and "
        "latencies count from the first moment. The last to be answered is the connection whose "
        "first answer came last, since it was opened (median of the rounds). A probe asks for "
        "/health on a connection of its own, twenty times a second. Processor time is the "
        "server's, with the probes'. uvicorn and granian answer "
        "five bytes from the least application there is, without a log; ours routes, counts and "
        "logs every request, and for fill-mask runs a model of BERT-tiny's size."
    )
    return [
        "## P8 connections (`benches/bench_connections.py`)",
        "",
        note,
        "",
        *left_out,
        *([""] if left_out else []),
        *table(cells),
        "",
    ]


if __name__ == "__main__":
    harness.refuse_debug_build()
    print("\n".join(main(sys.argv[1:])))
