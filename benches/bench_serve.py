"""P7: `mlmfast serve` beside its own engine, FastAPI around the pipeline, and LitServe.

`python benches/bench_serve.py --rounds 1 --seconds 0.5 --clients 1 8 --lengths short` tries it;
`make bench BENCH=bench_serve` takes the same from the variable MLMFAST_BENCH_SERVE, and the minutes
of the soak from MLMFAST_BENCH_SOAK_MINUTES.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import harness
from fill_mask_input import models, texts
from fill_mask_ways import Way
from fill_mask_worker import Worker
from serve_fairness import fairness
from serve_load import Load, Seen, run
from serve_soak import soak
from serve_ways import Server, ways

LENGTHS = {"short": (16, 16, 384), "mixed": (8, 128, 128)}
"""Name -> least and most tokens of a text, and how many there are."""
CLIENTS = (1, 8, 64, 256)
ROUNDS = 3
SECONDS = 1.5
OVERLOAD, OVERLOAD_SECONDS, OVERLOAD_PATIENCE = 3, 6.0, 20.0
QUEUE = 1024
"""Texts that ours takes by default: it is asked twice as many, so that the queue is full."""
FAIR_SECONDS = 5.0
QUEUE_SECONDS = 15.0
"""Where a request would wait longer than that for its answer, a peer is not asked."""


@dataclass
class Cell:
    """What one server did under one load, round by round."""

    seen: list[Seen] = field(default_factory=list)

    @property
    def speed(self) -> float:
        """Answers a second."""
        return statistics.median(seen.answered for seen in self.seen)

    @property
    def latencies(self) -> list[float]:
        """Seconds, of all rounds, in order."""
        return sorted(latency for seen in self.seen for latency in seen.latencies)


@dataclass
class Engine:
    """What an engine did in its own process, round by round.

    Attributes:
        lone: The median of the seconds that one text takes.
        speed: Texts a second, all given at once.
    """

    lone: list[float] = field(default_factory=list)
    speed: list[float] = field(default_factory=list)


@dataclass
class Measured:
    """Everything of one length."""

    cells: dict[tuple[int, str], Cell]
    engines: dict[str, Engine]


def share(latencies: Sequence[float], part: float) -> float:
    """The latency that `part` of all do not exceed; `latencies` are in order."""
    return latencies[min(len(latencies) - 1, int(part * len(latencies)))]


def closed_loops(
    servers: list[Server],
    engines: dict[str, Worker],
    name: str,
    asked: list[str],
    wanted: argparse.Namespace,
) -> Measured:
    """All loads of one length, the servers in turn; the engines alone and at saturation."""
    measured = Measured({}, {label: Engine() for label in engines})
    for clients in wanted.clients:
        taking_part = [s for s in servers if s.way.ours or _is_worth(measured, s, clients)]
        for server in taking_part:
            measured.cells[clients, server.way.label] = Cell()
        for _ in range(wanted.rounds):
            for label, engine in engines.items():
                if clients == min(wanted.clients):
                    times = engine.ask("each", name, wanted.seconds)
                    measured.engines[label].lone.append(statistics.median(times))
                if clients == max(wanted.clients):
                    seconds = engine.ask("bulk", name, 0)
                    measured.engines[label].speed.append(len(asked) / seconds)
            for server in taking_part:
                load = Load(server.port, server.way.path, asked, wanted.seconds, clients)
                measured.cells[clients, server.way.label].seen.append(_loaded(server, load))
    return measured


def _is_worth(measured: Measured, server: Server, clients: int) -> bool:
    before = [
        cell.speed for (_, label), cell in measured.cells.items() if label == server.way.label
    ]
    return not before or clients < QUEUE_SECONDS * before[-1]


def _loaded(server: Server, load: Load) -> Seen:
    server.go()
    try:
        return run(load)
    finally:
        server.hold()


def loops_table(name: str, measured: Measured) -> list[str]:
    """One row for each number of clients and server."""
    names = ["texts", "clients", "", "p50", "p95", "p99", "answers/s", "(min - max)", "failures"]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for (clients, label), cell in measured.cells.items():
        speeds = [seen.answered for seen in cell.seen]
        times = cell.latencies
        cells = [
            name,
            str(clients),
            f"**{label}**" if label in measured.engines else label,
            *(harness.duration(share(times, part)) if times else "" for part in (0.5, 0.95, 0.99)),
            harness.number(cell.speed),
            f"{harness.number(min(speeds))} - {harness.number(max(speeds))}",
            str(sum(seen.failures for seen in cell.seen)),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def goals_table(found: dict[str, Measured]) -> list[str]:
    """What a server of ours adds to its engine's time, and keeps of its speed."""
    names = ["texts", "", "engine's p50, alone", "the server adds", "(min - max)"]
    names += ["engine's texts/s", "the server's share", "(min - max)"]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for name, measured in found.items():
        few, many = (pick(c for c, _ in measured.cells) for pick in (min, max))
        for label, engine in measured.engines.items():
            lone, full = measured.cells[few, label].seen, measured.cells[many, label].seen
            added = [
                1e3 * (statistics.median(seen.latencies) - alone)
                for seen, alone in zip(lone, engine.lone, strict=True)
            ]
            kept = [seen.answered / speed for seen, speed in zip(full, engine.speed, strict=True)]
            cells = [
                name,
                f"**{label}**",
                harness.duration(statistics.median(engine.lone)),
                f"{statistics.median(added):.2f} ms",
                f"{min(added):.2f} - {max(added):.2f} ms",
                harness.number(statistics.median(engine.speed)),
                f"{statistics.median(kept):.0%}",
                f"{min(kept):.0%} - {max(kept):.0%}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def overload(servers: list[Server], asked: list[str], measured: Measured) -> list[str]:
    """An open loop at a multiple of what each server was seen to do; it is stopped afterwards."""
    names = ["", "asked/s", "answered", "p50", "p99", "429", "503", "failures", "unanswered"]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for server in servers:
        label = server.way.label
        rate = OVERLOAD * max(c.speed for (_, name), c in measured.cells.items() if name == label)
        seconds = max(OVERLOAD_SECONDS, 2 * QUEUE / rate if server.way.ours else 0.0)
        load = Load(
            server.port, server.way.path, asked, seconds, rate=rate, patience=OVERLOAD_PATIENCE
        )
        seen = _loaded(server, load)
        server.stop()
        times = sorted(seen.latencies)
        late, full = (seen.statuses.get(status, 0) for status in ("unanswered", "503"))
        cells = [
            f"**{label}**" if server.way.ours else label,
            harness.number(rate),
            f"{len(times):,}",
            *(harness.duration(share(times, part)) if times else "" for part in (0.5, 0.99)),
            f"{seen.statuses.get('429', 0):,}",
            f"{full:,}",
            f"{seen.failures - late - full:,}",
            f"{late:,}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def memory_table(servers: list[Server]) -> list[str]:
    """Each server's memory after all closed loops."""
    lines = ["| | memory |", "|---|---|"]
    for server in servers:
        held = server.memory()
        name = f"**{server.way.label}**" if server.way.ours else server.way.label
        lines.append(f"| {name} | {harness.megabytes(held) if held else 'unknown'} |")
    return lines


def settings(given: Sequence[str]) -> argparse.Namespace:
    """Read what is to be measured."""
    minutes = float(os.environ.get("MLMFAST_BENCH_SOAK_MINUTES", "1"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="runs of each load")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="that a run counts answers")
    parser.add_argument("--clients", nargs="+", type=int, default=[*CLIENTS])
    parser.add_argument("--lengths", nargs="+", choices=LENGTHS, default=[*LENGTHS])
    parser.add_argument("--soak-minutes", type=float, default=minutes, help="0: no soak")
    return parser.parse_args(given)


def measure(folder: Path, wanted: argparse.Namespace, closing: Callable[..., object]) -> list[str]:
    """Run everything; `closing` is told what to call at the end."""
    began = time.perf_counter()
    model = models(folder, ["distilroberta"])[0]
    file = folder / "texts.json"
    asked = {name: texts(model, *LENGTHS[name]) for name in wanted.lengths}
    file.write_text(json.dumps(asked), encoding="utf-8")
    found, left_out = ways(model, folder)
    servers = []
    for number, way in enumerate(found):
        servers.append(Server(way, folder / f"server-{number}.log"))
        closing(servers[-1].stop)
    engines = {
        each.label: Way(each.label, "mlmfast", each.engine).start(file)
        for each in found
        if each.engine
    }
    for engine in engines.values():
        closing(engine.close)
        engine.ask("bulk", wanted.lengths[0], 0)
    loops = {
        name: closed_loops(servers, engines, name, asked[name], wanted) for name in wanted.lengths
    }
    costs = [s.cpu for each in loops.values() for cell in each.cells.values() for s in cell.seen]
    memory = memory_table(servers)
    first, soaking = wanted.lengths[0], wanted.lengths[-1]
    ours = [server for server in servers if server.way.ours]
    shared = fairness(ours, asked[first], FAIR_SECONDS)
    soaked = soak(servers[-1], soaking, asked[soaking], wanted.soak_minutes)
    flooded = overload(servers, asked[first], loops[first])
    last = max(wanted.clients)
    return [
        *left_out,
        "",
        (
            f"What the server costs: against {min(wanted.clients)} client, and as the share of the "
            f"engine's own speed in bulk against {last}:"
        ),
        "",
        *goals_table(loops),
        "",
        "Closed loops:",
        "",
        *(line for name, each in loops.items() for line in [*loops_table(name, each), ""]),
        (
            f"The clients take {harness.duration(statistics.median(costs))} of processor time a "
            "request. Memory after these loops, all processes of a server together:"
        ),
        "",
        *memory,
        "",
        (
            f"A lone client that asks for one text after the other, {first} ones, alone and beside "
            "clients with large requests, each in a closed loop:"
        ),
        "",
        *shared,
        "",
        (
            f"An open loop of {first} texts at {OVERLOAD} times the most that a server answered "
            f"above: {OVERLOAD_SECONDS:g} s, for ours {2 * QUEUE} requests at least, twice its "
            f"queue; and {OVERLOAD_PATIENCE:g} s more for the answers. Times are of the requests "
            "that were answered, since they were due:"
        ),
        "",
        *flooded,
        "",
        *soaked,
        f"All this took {(time.perf_counter() - began) / 60:.0f} minutes.",
        "",
    ]


def main(given: Sequence[str] | None = None) -> list[str]:
    """Run the measurements; the lines of the report.

    Args:
        given: Settings; None: those of the variable MLMFAST_BENCH_SERVE.
    """
    if given is None:
        given = shlex.split(os.environ.get("MLMFAST_BENCH_SERVE", ""))
    wanted = settings(given)
    # Whoever ends this process ends the servers with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        lines = measure(Path(name), wanted, stack.callback)
    note = (
        "A model of DistilRoBERTa's size, random weights. Short texts have 16 tokens, mixed ones 8 "
        "to 128; one text and one mask a request. Each server has a process group of its own and "
        "is held still while the others are asked, in turn, "
        f"{wanted.rounds} rounds of {wanted.seconds:g} s after the queue has filled; the clients, "
        "in a process beside it, take part of the same cores. Clients keep their connections and "
        "ask anew once they are answered. Percentiles are of all rounds together, answers/s the "
        "median of the rounds. All servers are as they start by default, ours with its log of "
        "requests, the others without one; LitServe gathers 8 texts in 2 ms at most. A peer is not "
        f"asked by so many clients that a request would wait {QUEUE_SECONDS:g} s."
    )
    return ["## P7 serving (`benches/bench_serve.py`)", "", note, "", *lines]


if __name__ == "__main__":
    harness.refuse_debug_build()
    print("\n".join(main(sys.argv[1:])))
