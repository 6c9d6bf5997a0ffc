"""How long a training step takes here, so that a training fits into a time."""

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
"""Of the time for the training: the measuring stops after it, on a slow machine or large model."""


class StepClock(TrainerCallback):
    """Notes when each step ends, and stops when the time is up and two steps can be compared."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.ends: list[float] = []

    def on_step_end(self, _args: Any, _state: Any, control: Any, **_kwargs: Any) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())
        if len(self.ends) > 1 and self.ends[-1] - self.ends[0] > self._seconds:
            control.should_training_stop = True

    def step_seconds(self) -> float:
        """Give the time that one step in four stays below: other programs disturb the rest."""
        ends = self.ends[min(_WARM_UP, len(self.ends) - 2) :]
        steps = sorted(b - a for a, b in itertools.pairwise(ends))
        return steps[len(steps) // 4]


def steps_within(seconds: float, data: Path, **training: Any) -> int:
    """Tell how many steps of a training fit into a number of seconds on this machine.

    A few steps are done and thrown away. At least one step fits.

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
