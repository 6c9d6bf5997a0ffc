"""The speed and the memory of a recipe's phases, by a few steps of each: `measure_phases`."""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers

from mlmfast.training.options.arguments import DEFAULTS
from mlmfast.training.options.run_mlm import READING, TEXT_ONLY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlmfast.data.loading.mixture.mixture import Mixture
    from mlmfast.training.recipes.phase import Phase
    from mlmfast.training.recipes.recipe import Recipe

_STEPS = 4
"""Steps of each phase; the first, which allocates and compiles, does not count."""
_PASSES = 4
# Options that would write, send or keep something, or name the text, whose blocks are there; those
# that say how the model computes stay.
_LEFT_OUT = {
    "average_checkpoints",
    "callbacks",
    "data",
    "data_temperature",
    "dataset_config_name",
    "eval_data",
    "eval_strategy",
    "further",
    "hours",
    "keep_checkpoints",
    "load_best_model_at_end",
    "max_time",
    "output",
    "output_dir",
    "override",
    "overwrite",
    "overwrite_output_dir",
    "push_to_hub",
    "quiet",
    "recipe",
    "report",
    "report_to",
    "resume_from_checkpoint",
    "save_strategy",
    "tokens_per_second",
    "verify_store",
    *TEXT_ONLY,
    *READING,
}


@dataclass(frozen=True)
class Measured:
    """What a few steps of a phase took.

    Attributes:
        tokens_per_second: positions per second, with padding, of one process.
        memory: the most memory in bytes: of the GPU; of the process so far, on the CPU.
    """

    tokens_per_second: float
    memory: int


class _Clock(transformers.TrainerCallback):
    """Notes when each step ends, and the memory until then."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.memory: list[int] = []

    def on_step_end(self, args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        on_gpu = args.device.type == "cuda"
        if on_gpu:
            torch.cuda.synchronize(args.device)
        self.ends.append(time.perf_counter())
        self.memory.append(_peak(args.device, on_gpu=on_gpu))
        if on_gpu and state.global_step % _STEPS == 0:  # the last step of a phase
            torch.cuda.reset_peak_memory_stats(args.device)


def measure_phases(
    train: Callable[..., Any],
    recipe: Recipe,
    mixtures: Sequence[Mixture],
    data: Any,
    options: Mapping[str, Any],
) -> list[Measured]:
    """Train a few steps of each phase, in full batches of one device, and write nothing.

    Args:
        train: `mlmfast.train`.
        recipe: the recipe.
        mixtures: the stores of its phases.
        data: what phases without data read.
        options: options of `train`; those that would write, send or keep something are left out.

    Raises:
        MlmfastError: what a training would raise.
    """
    kept = {name: each for name, each in options.items() if name not in _LEFT_OUT}
    lengths = [each.joined.block_size for each in mixtures]
    positions = _positions(kept, max(lengths))
    phases = tuple(
        _shortened(phase, positions // length)
        for phase, length in zip(recipe.phases, lengths, strict=True)
    )
    clock = _Clock()
    with tempfile.TemporaryDirectory(prefix="mlmfast-recipe-") as folder:
        train(
            data if any(each.data is None for each in phases) else None,
            **kept,
            output=Path(folder) / "model",
            recipe=replace(recipe, phases=phases, options={}),
            callbacks=[clock],
            eval_strategy="no",
            save_strategy="no",
            report=False,
            quiet=True,
        )
    gc.collect()  # the Trainer is part of reference cycles
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    found = []
    for number, (phase, length) in enumerate(zip(phases, lengths, strict=True)):
        first, last = number * _STEPS, (number + 1) * _STEPS - 1
        seconds = clock.ends[last] - clock.ends[first]
        tokens = (last - first) * phase.batch_size * length
        found.append(Measured(tokens / seconds, max(clock.memory[first : last + 1])))
    return found


def _positions(options: dict[str, Any], longest: int) -> int:
    """Return the positions of a forward pass."""
    rows = options.get("per_device_train_batch_size") or DEFAULTS["per_device_train_batch_size"]
    if (tokens := options.get("tokens_per_batch")) is not None:
        rows = max(int(tokens) // longest, 1)
    return int(rows) * longest


def _shortened(phase: Phase, rows: int) -> Phase:
    """Return a few steps of a phase, with the batches that it has most of the time."""
    return replace(
        phase,
        steps=_STEPS,
        tokens=None,
        epochs=None,
        batch_size=min(phase.batch_size, _PASSES * rows),
        batch_size_warmup_min_size=None,
        batch_size_warmup_tokens=None,
        warmup_steps=None,
        warmup_tokens=None,
    )


def _peak(device: torch.device, *, on_gpu: bool) -> int:
    if on_gpu:
        return torch.cuda.max_memory_allocated(device)
    import resource  # Unix only

    # In KiB on Linux, in bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
