"""The run directory of a training, and what makes a later run a continuation of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mlmfast.training.options.arguments import DEFAULTS
from mlmfast.training.options.lora import describe_lora
from mlmfast.training.phased_blocks import PhasedBlocks
from mlmfast.training.setup.hours import HOURS, SCALE
from mlmfast.training.setup.phases import describe_phases
from mlmfast.training.trainer.saving.run_dir import PHASES, RunDir

if TYPE_CHECKING:
    from mlmfast.training.datasets import MaskedBlocks
    from mlmfast.training.setup.config import TrainConfig


def open_run_dir(config: TrainConfig, blocks: MaskedBlocks, processes: int) -> RunDir:
    """Describe the run directory of a training; `RunDir.begin` creates it.

    Args:
        config: the options of the training.
        blocks: what it trains on.
        processes: how many processes train together.
    """
    given = config.training_arguments
    return RunDir(
        config.output,
        {
            "seed": config.seed,
            "data_seed": given.get("data_seed"),
            **_steps(config, blocks, processes),
            **_sampling_strategy(given),
            "pack_documents": config.pack_documents,
            **config.length.given,
            **config.distillation.shape,
            "documents": "separate" if blocks.documents else "joined",
            "lora": describe_lora(config.lora),
        },
        config.recorded,
    )


def _blocks_per_step(given: dict[str, Any], processes: int) -> int | None:
    """Count the blocks of an optimizer step; None if the Trainer searches for a batch that fits.

    Args:
        given: the training arguments that the user gave.
        processes: how many processes train together.
    """
    if given.get("auto_find_batch_size"):
        return None
    batch = given.get("per_device_train_batch_size") or DEFAULTS["per_device_train_batch_size"]
    accumulated = given.get("gradient_accumulation_steps") or 1
    return batch * accumulated * devices_of(given, processes)


def devices_of(given: dict[str, Any], processes: int) -> int:
    """Count the devices that share a batch.

    Args:
        given: the training arguments that the user gave.
        processes: how many processes train together.
    """
    # One process without a launcher computes on all GPUs (DataParallel).
    on_gpus = processes == 1 and not given.get("use_cpu") and torch.cuda.is_available()
    return torch.cuda.device_count() if on_gpus else processes


def _steps(config: TrainConfig, blocks: MaskedBlocks, processes: int) -> dict[str, Any]:
    """Describe the data, and which blocks of it the steps read."""
    if isinstance(blocks, PhasedBlocks):
        is_new = config.from_scratch or config.distillation.makes_student
        return {
            "data": None,  # that of each phase
            PHASES: describe_phases(blocks),
            HOURS: config.hours,
            SCALE: None if config.recipe is None else config.recipe.fitted,
            # A new model has as many positions.
            "longest_blocks": max(blocks.block_lengths) if is_new else None,
        }
    shards = [shard.sha256 for shard in blocks.store.manifest.shards]
    per_step = _blocks_per_step(config.training_arguments, processes)
    return {"data": [*shards, len(blocks)], "blocks_a_step": per_step, **_shares(blocks)}


def _shares(blocks: MaskedBlocks) -> dict[str, Any]:
    """Return the shares of a mixture, if there is one."""
    if blocks.mixture is None:
        return {}
    return {"mixture": ", ".join(f"{share:.6g}" for share in blocks.mixture.probabilities)}


def _sampling_strategy(given: dict[str, Any]) -> dict[str, Any]:
    """Return the training arguments that change the order of the blocks, if any is given."""
    names = ("group_by_length", "train_sampling_strategy")
    return {name: given[name] for name in names if given.get(name)}
