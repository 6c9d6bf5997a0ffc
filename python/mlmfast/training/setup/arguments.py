"""The training arguments of a training: precision, device and compiling chosen."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError
from mlmfast.training.model.precision import choose_precision, default_device
from mlmfast.training.options.arguments import build_arguments
from mlmfast.training.process.launched import launched_precision

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import transformers

    from mlmfast.training.model.compile import Compiling

logger = logging.getLogger(__name__)

# Either of them switches compiling on.
_COMPILE_FIELDS = ("torch_compile_backend", "torch_compile_mode")


def choose_arguments(
    folder: Path,
    given: dict[str, Any],
    *,
    seed: int,
    precision: str,
    measured: bool,
    resumed: bool,
    compiling: Callable[[str], Compiling],
) -> transformers.TrainingArguments:
    """Build the training arguments with a precision and a device, and log which were chosen.

    Args:
        folder: where the Trainer writes its checkpoints.
        given: the fields that the user set.
        seed: the seed of all that is random.
        precision: see `choose_precision`.
        measured: whether there are blocks to measure on.
        resumed: whether the training resumes from a checkpoint.
        compiling: decides whether to compile for a device, if `given` does not.
    """
    device = "cpu" if given.get("use_cpu") else default_device()
    fixed: dict[str, Any] = {
        "seed": seed,
        "eval_on_start": measured and not resumed and given.get("eval_on_start") is not False,
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "use_cpu": device == "cpu",
    }
    if not measured:
        fixed["eval_strategy"] = "no"
    if device == "cpu":
        fixed["dataloader_pin_memory"] = False
    if given.get("bf16") is None and given.get("fp16") is None:
        launched = launched_precision(device) if precision == "auto" else None
        if launched is not None:
            fixed |= launched
            name = next((name for name, on in launched.items() if on), "fp32")
            logger.info("computing in %s on %s: set by accelerate launch", name, device)
        else:
            choice = choose_precision(precision, device)
            fixed["bf16"] = choice.name == "bf16"
            logger.info("computing in %s on %s: %s", choice.name, device, choice.reason)
    elif precision != "auto":
        raise InputError(f"Give either precision={precision} or bf16/fp16, not both.")
    if not any(given.get(name) for name in _COMPILE_FIELDS) and given.get("torch_compile") is None:
        decision = compiling(device)
        fixed["torch_compile"] = decision.on
        if device != "cpu":
            logger.info("torch.compile %s: %s", "on" if decision.on else "off", decision.reason)
    return build_arguments(folder, given, **fixed)
