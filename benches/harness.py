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
PEAK_NOTE = (
    "Peak memory is what one call adds to the resident memory of a process of its own, libraries "
    "and input aside."
)


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


def named(label: str, contenders: list[Contender]) -> Contender:
    """The contender of that label."""
    return next(contender for contender in contenders if contender.label == label)


def table(
    contenders: list[Contender],
    seconds: dict[str, list[float]],
    unit: str,
    peaks: dict[str, int] | None = None,
) -> list[str]:
    """A Markdown table: time a call, speed, spread, and our best speed over each contender's.

    With `peaks`, bytes by label, also peak memory; a contender that has none there shows a dash.
    """
    speed = {c.label: c.work / statistics.median(seconds[c.label]) for c in contenders}
    ours = [c.label for c in contenders if c.ours]
    names = ["", "time a call", "(min - max)", "speed", *(["peak memory"] if peaks else [])]
    names += [f"{o} is" for o in ours]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for c in contenders:
        times = seconds[c.label]
        cells = [
            f"**{c.label}**" if c.ours else c.label,
            duration(statistics.median(times)),
            f"{duration(min(times))} - {duration(max(times))}",
            f"{_quantity(speed[c.label])}{unit}/s",
            *([megabytes(peaks[c.label]) if c.label in peaks else "-"] if peaks else []),
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
            wide += ", AMX" if "amx_bf16" in flags else ""
            return f"{name} ({wide})"
    except OSError:
        return platform.processor() or platform.machine()


def number(value: float) -> str:
    """Three digits, the thousands set apart: 0.0123, 1.2, 123, 1,230."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:.3g}"


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{number(seconds / size)} {unit}"
    return f"{number(seconds / 1e-9)} ns"


def megabytes(count: float) -> str:
    """Bytes as MB (10^6 bytes), to a tenth where they are few."""
    return f"{count / 1e6:,.1f} MB" if count < 1e8 else f"{count / 1e6:,.0f} MB"


def _quantity(value: float) -> str:
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{number(value / size)} {prefix}"
    return f"{number(value)} "
