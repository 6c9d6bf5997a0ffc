"""Timing beside a peer: interleaved runs, medians, spread, and a table that says what was run.

Timings of a shared machine drift, so nothing here compares a number with one of another run:
every table holds its own peers, timed in turn (A B C A B C ...), and its ratios are what counts.
"""

from __future__ import annotations

import gc
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from mlmfast import _core

ROUNDS = 5


@dataclass(frozen=True)
class Contender:
    """One way to do the work.

    Attributes:
        label: What the table calls it.
        work: Units (tokens, say) that one call of `run` gets done.
        run: Does the work once.
        repeat: Calls a timing, so that a timing is long enough for the clock.
        ours: Whether it is mlmfast; the others are peers.
    """

    label: str
    work: int
    run: Callable[[], object]
    repeat: int = 1
    ours: bool = False


def refuse_debug_build() -> None:
    """Stop where the core was built without optimisation: its times would mean nothing."""
    if _core.DEBUG_BUILD:
        raise SystemExit("the core is a debug build: run `make setup`, then `make bench`")


def measure(contenders: list[Contender], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Seconds a call, for each contender a list of `rounds` numbers, after one warm-up each."""
    seconds: dict[str, list[float]] = {contender.label: [] for contender in contenders}
    for number in range(rounds + 1):
        for contender in contenders:
            gc.collect()
            start = time.perf_counter()
            for _ in range(contender.repeat):
                contender.run()
            elapsed = (time.perf_counter() - start) / contender.repeat
            if number > 0:
                seconds[contender.label].append(elapsed)
    return seconds


def table(contenders: list[Contender], seconds: dict[str, list[float]], unit: str) -> list[str]:
    """A Markdown table: time a call, speed, spread, and our best speed over each contender's."""
    speed = {c.label: c.work / statistics.median(seconds[c.label]) for c in contenders}
    ours = [c.label for c in contenders if c.ours]
    head = "| | time a call | (min - max) | speed |" + "".join(f" {o} is |" for o in ours)
    lines = [head, "|---" * (4 + len(ours)) + "|"]
    for c in contenders:
        times = seconds[c.label]
        cells = [
            f"**{c.label}**" if c.ours else c.label,
            _time(statistics.median(times)),
            f"{_time(min(times))} - {_time(max(times))}",
            f"{_quantity(speed[c.label])}{unit}/s",
            *("" if c.label == o else f"{speed[o] / speed[c.label]:,.2f}x" for o in ours),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def environment() -> str:
    """Machine and versions, in one line."""
    names = ("numpy", "pyarrow", "datasets", "torch", "transformers", "trl")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores of {_processor()}, Python {platform.python_version()}, {versions}"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 (no path of ours)
            flags = ""
            name = platform.machine()
            for line in lines:
                name = line.split(":")[1].strip() if line.startswith("model name") else name
                flags = line if line.startswith("flags") else flags
            wide = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "no AVX2"
            return f"{name} ({wide})"
    except OSError:
        return platform.processor() or platform.machine()


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def _quantity(value: float) -> str:
    for prefix, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:,.3g} {prefix}"
    return f"{value:.3g} "
