"""From the options of a training to its stores, its model and its training arguments."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import torch

from mlmfast.data.masking.schedule import MaskRateSchedule
from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.data.tokenization.word_boundaries import known_boundaries
from mlmfast.errors import InputError, StoreError
from mlmfast.training.model.compatibility import check_same_tokens
from mlmfast.training.model.from_scratch import new_model
from mlmfast.training.model.load import load_config, load_model
from mlmfast.training.model.precision import choose_precision, default_device
from mlmfast.training.options.arguments import DEFAULTS, build_arguments
from mlmfast.training.options.from_scratch import MLM_PROBABILITY, choose_mlm_probability
from mlmfast.training.process.launched import launched_precision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import transformers

    from mlmfast.training.model.compile import Compiling
    from mlmfast.training.options.run_mlm import RunMlmOptions
    from mlmfast.training.process.distributed import Processes


logger = logging.getLogger(__name__)

# Either of them switches compiling on.
_COMPILE_FIELDS = ("torch_compile_backend", "torch_compile_mode")


def check_seed(seed: int) -> None:
    """Raise InputError for a seed that one of the random generators does not take."""
    if not 0 <= seed < 2**32:
        raise InputError(f"seed is {seed}; expected a whole number from 0 to 2^32 - 1.")


def choose_stores(
    data: str | Path | BlockStore | dict[str, BlockStore],
    eval_data: str | Path | BlockStore | None,
    given: dict[str, Any],
) -> tuple[BlockStore, BlockStore | None]:
    """Choose the blocks to train on and to measure on (None: nothing is measured).

    Raises:
        InputError: nothing to train on, or nothing to measure on although `given` asks for it.
    """
    if isinstance(data, dict):
        splits = data
    else:
        splits = {"train": data} if isinstance(data, BlockStore) else open_splits(data)
    if eval_data is not None:
        store = eval_data if isinstance(eval_data, BlockStore) else BlockStore.open(eval_data)
        splits = {**splits, "test": store}
    train_store, eval_store = splits["train"], splits.get("test")
    asked = given.get("eval_strategy")
    if str(asked) == "no":
        eval_store = None
    elif asked is not None and eval_store is None:
        raise InputError(
            f"eval_strategy is {asked!r}, but {train_store.path} has no test split: prepare it "
            "with --test-size, or give eval_data."
        )
    for store in filter(None, (train_store, eval_store)):
        if not len(store):
            raise InputError(f"The block store {store.path} is empty.")
    return train_store, eval_store


def check_stores(
    stores: Sequence[BlockStore | None], processes: Processes, *, verify: bool, progress: bool
) -> None:
    """Raise StoreError unless all processes have opened the same blocks.

    Args:
        stores: those of this process.
        processes: all of them.
        verify: read every byte before; one process on each machine does.
        progress: show a bar on stderr.
    """
    opened = [store for store in stores if store is not None]
    if verify and int(os.environ.get("LOCAL_RANK", "0")) == 0:
        for store in opened:
            store.verify(progress=progress)
    mine = [store.fingerprint for store in opened]
    if mine != processes.from_first(lambda: mine):
        raise StoreError(
            f"Process {processes.rank} found other blocks in {opened[0].path} than the first "
            "process: every machine needs the same store, and nothing may replace it."
        )


def blocks_a_step(given: dict[str, Any], processes: int) -> int | None:
    """Count the blocks of an optimizer step; None where the Trainer is to find a batch that fits.

    Args:
        given: the training arguments that the user gave.
        processes: how many train together.
    """
    if given.get("auto_find_batch_size"):
        return None
    batch = given.get("per_device_train_batch_size") or DEFAULTS["per_device_train_batch_size"]
    alone = processes == 1 and not given.get("use_cpu") and torch.cuda.is_available()
    devices = torch.cuda.device_count() if alone else processes
    return batch * (given.get("gradient_accumulation_steps") or 1) * devices


def order_of(given: dict[str, Any]) -> dict[str, Any]:
    """What the order of the blocks follows from, where it is not the usual one."""
    names = ("group_by_length", "train_sampling_strategy")
    return {name: given[name] for name in names if given.get(name)}


def is_from_scratch(
    model: str | Path | None, from_scratch: bool, model_type: str | None, options: RunMlmOptions
) -> bool:
    """Whether the training starts from random weights; options as of `train`."""
    return from_scratch or (model is None and bool(model_type or options.config_name))


def choose_model(
    store: BlockStore,
    model: str | Path | None,
    from_scratch: bool,
    model_type: str | None,
    config_overrides: str | dict[str, Any] | None,
    options: RunMlmOptions,
) -> transformers.PreTrainedModel:
    """Load the model to start from, or make one with random weights; options as of `train`.

    As in run_mlm.py, a model type or a configuration without a model means random weights.
    """
    shape = options.config_name
    if is_from_scratch(model, from_scratch, model_type, options):
        if options.dtype not in (None, "float32"):
            raise InputError(
                f"dtype {options.dtype} is for the weights of a checkpoint; new ones are float32 "
                "(--precision bf16 computes in bf16)."
            )
        if model is not None and shape is not None:
            raise InputError("From scratch, give the shape by model or by config_name, not both.")
        return new_model(
            store,
            model=model if shape is None else shape,
            model_type=model_type,
            config_overrides=config_overrides,
            **options.hub,
        )
    if model_type or config_overrides:
        raise InputError(
            "model_type and config_overrides are for --from-scratch: a checkpoint has its own."
        )
    if model is None:
        raise InputError(
            "Training needs a model to start from (--model distilroberta-base) or --from-scratch "
            "with --model-type."
        )
    check_same_tokens(model, store)
    config = None if shape is None else load_config(shape, **options.hub)
    return load_model(model, dtype=options.dtype or "float32", config=config, **options.hub)


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
    """Make the training arguments, with a precision and a device, and say which were chosen.

    Args:
        folder: where the Trainer keeps its checkpoints.
        given: the fields that the user gave.
        seed: of everything random.
        precision: see `choose_precision`.
        measured: whether there are blocks to measure on.
        resumed: whether the training goes on from a checkpoint.
        compiling: whether to compile for a device, where `given` does not say it.
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
            logger.info("computing in %s on %s: as accelerate launch was told", name, device)
        else:
            choice = choose_precision(precision, device)
            fixed["bf16"] = choice.name == "bf16"
            logger.info("computing in %s on %s: %s", choice.name, device, choice.reason)
    elif precision != "auto":
        raise InputError(f"Give either precision={precision} or bf16/fp16, not both.")
    if not any(given.get(name) for name in _COMPILE_FIELDS) and given.get("torch_compile") is None:
        found = compiling(device)
        fixed["torch_compile"] = found.on
        if device != "cpu":
            logger.info("torch.compile %s: %s", "on" if found.on else "off", found.reason)
    return build_arguments(folder, given, **fixed)


_MODES = ("token", "whole_word", "span")


def choose_masks(
    *,
    mlm_probability: float | None,
    from_scratch: bool,
    mask_replace_prob: float,
    random_replace_prob: float,
    mode: str,
    whole_word: bool,
    word_boundaries: str,
    mask_rate_schedule: str | None,
) -> dict[str, Any]:
    """Put the options of the masks together, as `MaskedBlocks` takes them.

    Args:
        mlm_probability: the rate as given; None for the one of random weights or of a checkpoint.
        from_scratch: whether the weights are random.
        mask_replace_prob: share of the chosen tokens that become the mask.
        random_replace_prob: share of them that become another token.
        mode: one of `_MODES`.
        whole_word: another name of the mode `whole_word`.
        word_boundaries: how whole words are found; left out of the answer where it is `marker`.
        mask_rate_schedule: in place of `mlm_probability`.

    Raises:
        InputError: two options that contradict each other, or one that cannot be.
    """
    if mode not in _MODES:
        raise InputError(f"mask_mode is {mode!r}; expected one of {', '.join(_MODES)}.")
    if whole_word and mode == "span":
        raise InputError("Give whole_word or mask_mode='span', not both.")
    if mask_rate_schedule is None:
        mlm_probability = choose_mlm_probability(mlm_probability, from_scratch=from_scratch)
    elif mlm_probability is not None:
        raise InputError(
            f"Give mlm_probability ({mlm_probability}) or mask_rate_schedule "
            f"({mask_rate_schedule}), not both."
        )
    else:
        MaskRateSchedule(mask_rate_schedule, 1)
        mlm_probability = MLM_PROBABILITY  # noted beside the schedule, without effect
    whole_word = whole_word or mode == "whole_word"
    if known_boundaries(word_boundaries) != "marker" and not whole_word:
        raise InputError(
            f"word_boundaries ({word_boundaries}) tells where whole words begin: give whole_word."
        )
    return {
        "mlm_probability": mlm_probability,
        "mask_replace_prob": mask_replace_prob,
        "random_replace_prob": random_replace_prob,
        "mode": "whole_word" if whole_word else mode,
        "mask_rate_schedule": mask_rate_schedule,
        **({} if word_boundaries == "marker" else {"word_boundaries": word_boundaries}),
    }
