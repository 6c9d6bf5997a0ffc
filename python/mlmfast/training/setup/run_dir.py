"""The run directory of a training, and what makes a later run a continuation of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mlmfast.training.options.arguments import DEFAULTS
from mlmfast.training.options.lora import describe_lora
from mlmfast.training.trainer.saving.run_dir import RunDir

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
            "data": [*(shard.sha256 for shard in blocks.store.manifest.shards), len(blocks)],
            "seed": config.seed,
            "data_seed": given.get("data_seed"),
            "blocks_a_step": _blocks_per_step(given, processes),
            **_sampling_strategy(given),
            **_shares(blocks),
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
    # One process without a launcher computes on all GPUs (DataParallel).
    on_gpus = processes == 1 and not given.get("use_cpu") and torch.cuda.is_available()
    devices = torch.cuda.device_count() if on_gpus else processes
    return batch * (given.get("gradient_accumulation_steps") or 1) * devices


def _shares(blocks: MaskedBlocks) -> dict[str, Any]:
    """Return the shares of a mixture, if there is one."""
    if blocks.mixture is None:
        return {}
    return {"mixture": ", ".join(f"{share:.6g}" for share in blocks.mixture.probabilities)}


def _sampling_strategy(given: dict[str, Any]) -> dict[str, Any]:
    """Return the training arguments that change the order of the blocks, if any is given."""
    names = ("group_by_length", "train_sampling_strategy")
    return {name: given[name] for name in names if given.get(name)}
