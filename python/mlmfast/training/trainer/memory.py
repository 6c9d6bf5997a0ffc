"""The batch size that fits when a device has too little memory for a training step."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

if TYPE_CHECKING:
    from transformers import TrainingArguments

# Factor for the backward pass, the temporaries of the optimizer and fragmentation, over the memory
# that the forward pass leaves allocated.
MARGIN = 1.25


class Cost(NamedTuple):
    """Bytes of a training step: `fixed`, and `row` for each block of the batch."""

    fixed: int
    row: int


def measure_cost(forward: Callable[[int], Any], device: torch.device) -> Cost:
    """Measure the memory of the forward pass on one block and on two.

    Args:
        forward: computes the loss of the first N blocks, with gradients.
        device: a CUDA device.
    """
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(device)
    used = []
    for rows in (1, 2):
        torch.cuda.reset_peak_memory_stats(device)
        forward(rows)
        used.append(torch.cuda.max_memory_allocated(device) - before)
    row = max(used[1] - used[0], 1)
    return Cost(before + max(used[0] - row, 0), row)


def batch_that_fits(cost: Cost, total: int, batch: int) -> int:
    """Return the largest divisor of `batch` below it that fits into `total` bytes; 0 for none."""
    sizes = [size for size in range(1, batch) if batch % size == 0]
    fitting = [size for size in sizes if MARGIN * (cost.fixed + size * cost.row) <= total]
    return max(fitting, default=0)


def advice(arguments: TrainingArguments, fitting: int | None, *, accumulates: bool = True) -> str:
    """Name the options with which a step fits and has the same blocks.

    Args:
        arguments: the arguments of the training that did not fit.
        fitting: the batch size that fits by measurement; 0 for none, None without a measurement.
        accumulates: whether the accumulated batches follow from an option of their own.
    """
    batch = arguments.per_device_train_batch_size
    basis = "this fits, by measurement" if fitting else "half, not measured"
    if fitting is None and batch > 1:
        fitting = max(size for size in range(1, batch) if batch % size == 0)
    if fitting:
        option = f"--per-device-train-batch-size {fitting}"
        if accumulates:
            accumulated = arguments.gradient_accumulation_steps * batch // fitting
            option = f"{option} --gradient-accumulation-steps {accumulated}"
        return f"give {option} ({basis}; a step has the same blocks)"
    ways = [] if arguments.bf16 else ["--bf16"]
    ways += [] if arguments.gradient_checkpointing else ["--gradient-checkpointing"]
    return f"not even one block fits: {', '.join([*ways, 'shorter blocks or a smaller model'])}"
