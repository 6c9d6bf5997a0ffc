"""Which training arguments of a resume are not those of its checkpoint."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import transformers

logger = logging.getLogger(__name__)

# Other states of the optimizer belong to these.
OPTIMIZER = ("optim", "optim_args", "optim_target_modules")
# The optimizer's state carries these, and would bring the checkpoint's back.
GROUPS = ("learning_rate", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon")
SCHEDULE = ("lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "warmup_ratio")
STEP = ("max_grad_norm", "label_smoothing_factor", "neftune_noise_alpha")
# How long the training is and what the machine computes in may change from run to run.
FREE = ("num_train_epochs", "max_steps", "bf16", "fp16")

_OPTIMIZER_FILE = "optimizer.pt"
ARGUMENTS_FILE = "mlmfast_arguments.json"
STATE_FILE = "trainer_state.json"
# Which of them is the default depends on the versions of torch and transformers.
_ADAMW = ("adamw_torch", "adamw_torch_fused")


@dataclass(frozen=True)
class Change:
    """An option that a resume gave another value; `step` is that of its checkpoint."""

    name: str
    before: Any
    after: Any
    step: int = 0

    def __str__(self) -> str:
        return f"{self.name} {self.before} -> {self.after}"


def told(changes: Sequence[Change]) -> str:
    """List changes in a sentence."""
    return ", ".join(map(str, changes))


def arguments_of(args: transformers.TrainingArguments) -> dict[str, Any]:
    """Give the arguments that decide what a training's steps do, as JSON has them."""
    known = args.to_dict()
    names = (*OPTIMIZER, *GROUPS, *SCHEDULE, *STEP, *FREE)
    return json.loads(json.dumps({name: known.get(name) for name in names}, default=str))


def write_arguments(folder: Path, arguments: dict[str, Any], history: Sequence[Change]) -> None:
    """Write a checkpoint's arguments, and what earlier resumes changed, to its folder."""
    content = {"arguments": arguments, "changes": [asdict(change) for change in history]}
    (folder / ARGUMENTS_FILE).write_text(json.dumps(content, indent=1), encoding="utf-8")


def read_arguments(checkpoint: Path) -> tuple[dict[str, Any], list[Change]]:
    """Read what `write_arguments` wrote.

    Of another program's checkpoint, the optimizer's state tells the learning rate and a few more.
    """
    try:
        content = json.loads((checkpoint / ARGUMENTS_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return _of_optimizer(checkpoint), []
    return content["arguments"], [Change(**change) for change in content["changes"]]


def argument_changes(before: dict[str, Any], args: transformers.TrainingArguments) -> list[Change]:
    """Compare a checkpoint's arguments, as of `read_arguments`, with those that are given now."""
    before = _with_one_warmup(before)
    return [
        Change(name, before[name], value)
        for name, value in _with_one_warmup(arguments_of(args)).items()
        if name in before and not _same(name, before[name], value)
    ]


def _with_one_warmup(arguments: dict[str, Any]) -> dict[str, Any]:
    """Write a share of the steps as transformers 5 does, as `warmup_steps` below 1."""
    if "warmup_ratio" not in arguments:
        return arguments
    others = {name: value for name, value in arguments.items() if name != "warmup_ratio"}
    steps = arguments.get("warmup_steps")
    return {**others, "warmup_steps": steps or arguments["warmup_ratio"] or 0}


def _same(name: str, before: Any, now: Any) -> bool:
    """Whether two values mean the same; what is switched off is 0, None or {}, by version."""
    both_off = not before and not now
    return both_off or before == now or (name == "optim" and {before, now} <= set(_ADAMW))


def _of_optimizer(checkpoint: Path) -> dict[str, Any]:
    """Read what an optimizer's own state says of its arguments, without its tensors."""
    file = checkpoint / _OPTIMIZER_FILE
    if not file.is_file():
        return {}
    state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    groups = state.get("param_groups") or [{}]
    found = {
        "learning_rate": groups[0].get("initial_lr"),
        # The other group is that of biases and norms, which do not decay.
        "weight_decay": max(group.get("weight_decay") or 0.0 for group in groups),
        "adam_epsilon": groups[0].get("eps"),
    }
    if betas := groups[0].get("betas"):
        found["adam_beta1"], found["adam_beta2"] = betas
    return {name: value for name, value in found.items() if isinstance(value, float)}


def check_resumed(
    checkpoint: Path | None, args: transformers.TrainingArguments, *, override: bool
) -> None:
    """Compare the training arguments with those of a checkpoint, if there is one; log what differs.

    Raises:
        InputError: an argument that decides what a step does differs, and `override` is false.
    """
    if checkpoint is None:
        return
    changes = argument_changes(read_arguments(checkpoint)[0], args)
    bound = [change for change in changes if change.name not in FREE]
    if bound and not override:
        raise InputError(
            f"The checkpoint was trained with other arguments ({told(bound)}): give the same "
            "again, or --override to go on with the new ones from its step on."
        )
    if changes:
        logger.warning("going on with other arguments from here on: %s", told(changes))
