"""Optimizer steps of several trainings, each in a process of its own, in turn."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fill_mask_worker import Worker, environment

STEPS = 2
"""Optimizer steps of a timing."""


@dataclass
class Timed:
    """A way's timings: seconds of a step, and those waited for batches, for each round."""

    seconds: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    peak: int = 0


def timings(labels: Mapping[str, str], program: str, folder: Path, rounds: int) -> dict[str, Timed]:
    """Time the steps of every way, after one round that does not count.

    Args:
        labels: What the tables call each way.
        program: The file of a worker such as `train_worker`, which takes a way and a folder.
        folder: What the workers train on.
        rounds: Timings of each way.
    """
    workers = {
        way: Worker(label, [sys.executable, program, way, str(folder)])
        for way, label in labels.items()
    }
    found = {way: Timed() for way in workers}
    for number in range(rounds + 1):
        for way, worker in workers.items():
            seconds, waited = worker.ask("steps", STEPS)
            if number:
                found[way].seconds.append(seconds / STEPS)
                found[way].waited.append(waited / STEPS)
    for way, worker in workers.items():
        found[way].peak = worker.ask("peak")
        worker.close()
    return found


def losses(
    labels: Mapping[str, str], program: str, folder: Path, steps: int
) -> dict[str, list[float]]:
    """Return the losses of the same steps on the same masked rows, way by way."""
    return {way: _printed(program, "--losses", way, str(folder), str(steps)) for way in labels}


def answers(ways: Iterable[str], program: str, folder: Path) -> dict[str, tuple[float, float]]:
    """Store a teacher's answers for each way; return seconds, and bytes a masked token."""
    return {way: tuple(_printed(program, "--answers", way, str(folder))) for way in ways}


def _printed(program: str, *words: str) -> Any:
    """Run a worker once and return what it prints."""
    done = subprocess.run(
        [sys.executable, program, *words],
        capture_output=True,
        text=True,
        check=True,
        env=environment(None),
    )
    last = [line for line in done.stdout.splitlines() if line.startswith("=")][-1]
    return json.loads(last[1:])
