"""The time of a training step on this machine, so that a training fits into a given time."""

from __future__ import annotations

import itertools
import tempfile
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from mlmfast.training.train import train

_WARM_UP = 4
"""Steps that are not counted: the first ones allocate memory and choose kernels."""
MEASURED = 40
SHARE = 0.1
"""Share of the training time after which measuring stops, on a slow machine or a large model."""


class StepClock(TrainerCallback):
    """Records the end of each step; stops after the given time, with at least two steps."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.ends: list[float] = []

    def on_step_end(self, _args: Any, _state: Any, control: Any, **_kwargs: Any) -> None:
        """Record the time."""
        self.ends.append(time.perf_counter())
        if len(self.ends) > 1 and self.ends[-1] - self.ends[0] > self._seconds:
            control.should_training_stop = True

    def step_seconds(self) -> float:
        """Return the lower quartile of the steps' times, since other programs slow some down."""
        ends = self.ends[min(_WARM_UP, len(self.ends) - 2) :]
        steps = sorted(b - a for a, b in itertools.pairwise(ends))
        return steps[len(steps) // 4]


def steps_within(seconds: float, data: Path, **training: Any) -> int:
    """Return how many training steps fit into `seconds` on this machine, at least one.

    It runs a few steps and discards them.

    Args:
        seconds: the time that the steps may take.
        data: the blocks.
        training: the options of `train`, without the number of steps.
    """
    clock = StepClock(seconds * SHARE)
    probe = {
        "max_steps": _WARM_UP + MEASURED,
        "eval_strategy": "no",
        "save_strategy": "no",
        "callbacks": [clock],
        "quiet": True,
    }
    with tempfile.TemporaryDirectory() as folder:
        train(data, output=Path(folder) / "probe", **training | probe)
    return max(1, int(seconds / clock.step_seconds()))
