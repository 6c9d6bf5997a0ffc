"""Whether compiling a model saves time in a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mlmfast.training.options.arguments import DEFAULTS

if TYPE_CHECKING:
    from torch import nn

# Assumed, not measured: compiling the forward and backward graphs of an encoder twice (the second
# time for a dynamic number of masked rows) takes two minutes; a step becomes a sixth shorter; and a
# GPU reaches 100 TFLOP/s without compiling. Compiling then pays off from 12 minutes of training on.
_COMPILE_SECONDS = 120.0
_SPEEDUP = 1 / 6
_FLOPS_PER_SECOND = 1e14


class Compiling(NamedTuple):
    """Whether to compile, and the reason, as the end of a sentence."""

    on: bool
    reason: str


def choose_compiling(device: str, network: nn.Module, tokens: float, gpus: int = 1) -> Compiling:
    """Choose for a training that does not set `torch_compile`.

    Args:
        device: a torch device type.
        network: the model; its weights outside of the embeddings count, with 6 operations for each
            token, and 4 if they are frozen.
        tokens: tokens of the whole training.
        gpus: number of GPUs that share the work.
    """
    if device != "cuda":
        return Compiling(False, f"on {device}, only if torch_compile is set")
    embeddings = network.get_input_embeddings().weight  # type: ignore[operator]
    operations = sum(
        (6.0 if each.requires_grad else 4.0) * each.numel()
        for each in network.parameters()
        if each is not embeddings
    )
    seconds = operations * tokens / _FLOPS_PER_SECOND / max(gpus, 1)
    about = f"about {seconds / 60:,.0f} minutes of work for a GPU of {_FLOPS_PER_SECOND:.0e} FLOP/s"
    needed = _COMPILE_SECONDS / _SPEEDUP
    return Compiling(
        seconds > needed, f"{about}; compiling is assumed to pay off from {needed / 60:.0f} on"
    )


def tokens_of(given: dict[str, Any], blocks: int, block_size: int, processes: int = 1) -> float:
    """Count the tokens of a whole training.

    Args:
        given: the training arguments that the user set.
        blocks: blocks of an epoch.
        block_size: tokens of a block.
        processes: number of processes that train together.
    """
    options = DEFAULTS | {name: value for name, value in given.items() if value is not None}
    steps = options.get("max_steps", -1)
    if steps and steps > 0:
        accumulated = options.get("gradient_accumulation_steps", 1)
        batch = options["per_device_train_batch_size"] * accumulated * processes
        return float(steps * batch * block_size)
    return float(options["num_train_epochs"] * blocks * block_size)
