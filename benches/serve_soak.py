"""A server under steady load for minutes: whether its memory stays what it is."""

from __future__ import annotations

import threading

import harness
from serve_load import Load, run
from serve_ways import Server

CLIENTS = 64
PIECES = 6


def soak(server: Server, name: str, asked: list[str], minutes: float) -> list[str]:
    """Ask without pause, and look at the memory all the while; nothing if there are no minutes."""
    if minutes <= 0 or server.memory() is None:
        return []
    seconds = minutes * 60
    pieces: list[list[int]] = [[] for _ in range(PIECES)]
    ended = threading.Event()

    def watch() -> None:
        every = seconds / PIECES / 10
        for number in range(PIECES * 10):
            if ended.wait(every):
                return
            pieces[number // 10].append(server.memory() or 0)

    server.go()
    watching = threading.Thread(target=watch)
    watching.start()
    try:
        load = Load(server.port, server.way.path, asked, seconds, CLIENTS)
        seen = run(load)
    finally:
        ended.set()
        watching.join()
        server.hold()
    times = sorted(seen.latencies)
    most = [harness.megabytes(max(piece)) for piece in pieces if piece]
    return [
        (
            f"{minutes:g} minutes of {CLIENTS} clients and {name} texts against "
            f"{server.way.label}: {len(times):,} answers, p50 "
            f"{harness.duration(times[len(times) // 2])}, p99 "
            f"{harness.duration(times[int(0.99 * len(times))])}, {seen.failures} failures. The "
            f"most memory in each sixth of the time: {', '.join(most)}."
        ),
        "",
    ]
