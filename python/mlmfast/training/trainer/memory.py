"""What batch size would fit, when a device has too little memory for a training step."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

if TYPE_CHECKING:
    from transformers import TrainingArguments

# What the backward pass, the optimizer's temporaries and holes in the memory take beside what the
# forward pass leaves behind.
MARGIN = 1.25


class Cost(NamedTuple):
    """Bytes that a training step takes: `fixed`, and `row` for each block of the batch."""

    fixed: int
    row: int


def measure_cost(forward: Callable[[int], Any], device: torch.device) -> Cost:
    """Run the forward pass on one and on two blocks and see what it leaves for the backward pass.

    Args:
        forward: computes the loss of the first so many blocks, with gradients.
        device: a CUDA device.
    """
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(device)
    taken = []
    for rows in (1, 2):
        torch.cuda.reset_peak_memory_stats(device)
        forward(rows)
        taken.append(torch.cuda.max_memory_allocated(device) - before)
    row = max(taken[1] - taken[0], 1)
    return Cost(before + max(taken[0] - row, 0), row)


def batch_that_fits(cost: Cost, total: int, batch: int) -> int:
    """The largest batch below `batch` that divides it and fits into `total` bytes; 0 for none."""
    sizes = [size for size in range(1, batch) if batch % size == 0]
    fitting = [size for size in sizes if MARGIN * (cost.fixed + size * cost.row) <= total]
    return max(fitting, default=0)


def advice(arguments: TrainingArguments, fitting: int | None) -> str:
    """Say what to give so that a step fits and has the same blocks.

    Args:
        arguments: those of the training that did not fit.
        fitting: the batch that fits by measurement; 0 if none does, None without a measurement.
    """
    batch = arguments.per_device_train_batch_size
    measured = "that fits by what was measured" if fitting else "not measured, but half"
    if fitting is None and batch > 1:
        fitting = max(size for size in range(1, batch) if batch % size == 0)
    if fitting:
        accumulated = arguments.gradient_accumulation_steps * batch // fitting
        return (
            f"give --per-device-train-batch-size {fitting} --gradient-accumulation-steps "
            f"{accumulated} ({measured}; a step has the same blocks)"
        )
    ways = [] if arguments.bf16 else ["--bf16"]
    ways += [] if arguments.gradient_checkpointing else ["--gradient-checkpointing"]
    return f"not even one block fits: {', '.join([*ways, 'shorter blocks or a smaller model'])}"
