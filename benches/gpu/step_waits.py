"""How often a training step waits for the GPU, by torch's profiler, beside the Trainer's."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import torch
import train_steps
import transformers
from gpu_settings import ROWS, STEPS, WARM_UP
from train_steps import LABELS

# What the profiler calls a wait, or a copy that is one.
WAITS = ("Synchronize", "Pageable", "DtoH")
WAYS = ("ours", "separate", "trainer")


class Profiled(transformers.TrainerCallback):
    """Counts such events in the steps behind the first ones."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._profile = torch.profiler.profile()

    def on_step_end(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """Begin behind the first steps, end one before the last, which logs."""
        if state.global_step == WARM_UP:
            self._profile.start()
        elif state.global_step == WARM_UP + STEPS - 1:
            self._profile.stop()
            for event in self._profile.events():
                if any(word in event.name for word in WAITS):
                    self.counts[event.name] += 1


def main(folder: Path) -> None:
    """Print a line for each way."""
    length = min(ROWS)
    for way in WAYS:
        profiled = Profiled()
        with tempfile.TemporaryDirectory() as work:
            found = train_steps.trainer(way, folder, length, work, train_steps.Clock())
            found.remove_callback(transformers.PrinterCallback)
            found.add_callback(profiled)
            found.train()
        steps = STEPS - 1
        each = [f"{count / steps:.1f} x {name}" for name, count in profiled.counts.most_common()]
        print(f"- {LABELS[way]}, a step: {', '.join(each) or 'none'}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
