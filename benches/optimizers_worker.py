"""A training of P10 optimizers in a process of its own.

`python benches/optimizers_worker.py speed OPTIM BLOCKS` prints the seconds of a step of the largest
batch; `train OPTIM BLOCKS SEED HOURS TOKENS_PER_SECOND` in its place trains the recipe, and prints
the number of steps and what is measured at the end.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import transformers
import yaml

import mlmfast
from mlmfast.training.recipes.recipe import shipped_recipes

RECIPE = "scratch"
STEPS = 6
"""Of a measurement, the first of which is not counted."""


class StepTimes(transformers.TrainerCallback):
    """When each step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())


def recipe() -> dict[str, Any]:
    """The recipe as it is shipped."""
    read: dict[str, Any] = yaml.safe_load(shipped_recipes()[RECIPE].read_text(encoding="utf-8"))
    return read


def speed(optim: str, blocks: str, folder: Path) -> float:
    """Seconds of a step with as many blocks as the recipe's last phase takes."""
    timed = recipe()
    size = timed["phases"][-1]["batch_size"]
    timed["phases"] = [{"name": "timed", "steps": STEPS, "batch_size": size}]
    file = folder / "timed.yaml"
    file.write_text(yaml.safe_dump(timed), encoding="utf-8")
    times = StepTimes()
    mlmfast.train(
        blocks,
        recipe=file,
        optim=optim,
        output=folder / "model",
        eval_strategy="no",
        save_strategy="no",
        callbacks=[times],
    )
    return statistics.median(b - a for a, b in zip(times.ends, times.ends[1:], strict=False))


def train(
    optim: str, blocks: str, folder: Path, seed: int, hours: float, tokens_per_second: float
) -> dict[str, float]:
    """What the recipe reaches in as many steps as fit into `hours` at that speed."""
    result = mlmfast.train(
        blocks,
        recipe=RECIPE,
        hours=hours,
        tokens_per_second=tokens_per_second,
        optim=optim,
        seed=seed,
        output=folder / "model",
        eval_strategy="no",
    )
    found = mlmfast.evaluate(result.output, Path(blocks) / "test")
    return {"steps": result.steps, "loss": found.loss, "top1": found.top1}


def main(what: str, optim: str, blocks: str, *numbers: str) -> None:
    """Print one JSON value."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if what == "speed":
            found: Any = speed(optim, blocks, folder)
        else:
            seed, hours, tokens = numbers
            found = train(optim, blocks, folder, int(seed), float(hours), float(tokens))
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
