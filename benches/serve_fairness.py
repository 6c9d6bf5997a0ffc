"""What a lone request waits beside clients that send as many texts at once as they may."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import harness
from serve_load import Load, Seen, run

if TYPE_CHECKING:
    from serve_ways import Server

TEXTS = 128
CLIENTS = (1, 4)
"""Clients with large requests, each of which asks anew once it is answered."""


def fairness(servers: Sequence[Server], asked: list[str], seconds: float) -> list[str]:
    """Ask each server of ours one text after the other, alone and beside large requests."""
    names = ["", "beside", "p50", "p99", "the lone client's texts/s", "the others' texts/s"]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    large = [(asked * TEXTS)[first : first + TEXTS] for first in range(0, len(asked), TEXTS)]
    for server in servers:
        lone = Load(server.port, server.way.path, asked, seconds, clients=1)
        server.go()
        try:
            lines.append(_row(server, "nobody", run(lone), 0.0))
            for clients in CLIENTS:
                # They begin before the lone client is counted, and end after it.
                others = replace(lone, texts=large, seconds=2 * seconds, clients=clients)  # type: ignore[arg-type]
                seen = _beside(lone, others)
                lines.append(_row(server, f"{clients} x {TEXTS} texts", *seen))
        finally:
            server.hold()
    return lines


def _beside(lone: Load, others: Load) -> tuple[Seen, float]:
    found: list[Seen] = []
    thread = threading.Thread(target=lambda: found.append(run(others)))
    thread.start()
    seen = run(lone)
    thread.join()
    return seen, TEXTS * found[0].answered


def _row(server: Server, beside: str, seen: Seen, others: float) -> str:
    times = sorted(seen.latencies)
    cells = [
        f"**{server.way.label}**",
        beside,
        *(
            harness.duration(times[min(len(times) - 1, int(part * len(times)))]) if times else ""
            for part in (0.5, 0.99)
        ),
        harness.number(seen.answered),
        harness.number(others) if others else "",
    ]
    return "| " + " | ".join(cells) + " |"
