"""The training arguments of a resume that differ from those of its checkpoint."""

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

# Arguments that change the kind of the optimizer's state.
OPTIMIZER = ("optim", "optim_args", "optim_target_modules")
# Arguments in the optimizer's state: loading it restores the checkpoint's values.
GROUPS = ("learning_rate", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon")
SCHEDULE = ("lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "warmup_ratio")
STEP = ("max_grad_norm", "label_smoothing_factor", "neftune_noise_alpha")
# The length of the training and the precision may change from run to run.
FREE = ("num_train_epochs", "max_steps", "bf16", "fp16")

_OPTIMIZER_FILE = "optimizer.pt"
ARGUMENTS_FILE = "mlmfast_arguments.json"
STATE_FILE = "trainer_state.json"
# The default is one of them, depending on the versions of torch and transformers.
_ADAMW = ("adamw_torch", "adamw_torch_fused")


@dataclass(frozen=True)
class Change:
    """An option that a resume changed; `step` is the step of its checkpoint."""

    name: str
    before: Any
    after: Any
    step: int = 0

    def __str__(self) -> str:
        return f"{self.name} {self.before} -> {self.after}"


def describe_changes(changes: Sequence[Change]) -> str:
    """List changes, for a sentence."""
    return ", ".join(map(str, changes))


def arguments_of(args: transformers.TrainingArguments) -> dict[str, Any]:
    """Return the arguments that the optimizer steps depend on, as values of JSON."""
    known = args.to_dict()
    names = (*OPTIMIZER, *GROUPS, *SCHEDULE, *STEP, *FREE)
    return json.loads(json.dumps({name: known.get(name) for name in names}, default=str))


def write_arguments(folder: Path, arguments: dict[str, Any], history: Sequence[Change]) -> None:
    """Write the arguments of a checkpoint, and the changes of earlier resumes, to its folder."""
    content = {"arguments": arguments, "changes": [asdict(change) for change in history]}
    (folder / ARGUMENTS_FILE).write_text(json.dumps(content, indent=1), encoding="utf-8")


def read_arguments(checkpoint: Path) -> tuple[dict[str, Any], list[Change]]:
    """Read the arguments and changes that `write_arguments` wrote.

    For a checkpoint of another program, read the learning rate and a few more from the optimizer's
    state.
    """
    try:
        content = json.loads((checkpoint / ARGUMENTS_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return _of_optimizer(checkpoint), []
    return content["arguments"], [Change(**change) for change in content["changes"]]


def argument_changes(before: dict[str, Any], args: transformers.TrainingArguments) -> list[Change]:
    """Compare the arguments of a checkpoint, from `read_arguments`, with the present ones."""
    before = _with_one_warmup(before)
    return [
        Change(name, before[name], value)
        for name, value in _with_one_warmup(arguments_of(args)).items()
        if name in before and not _same(name, before[name], value)
    ]


def _with_one_warmup(arguments: dict[str, Any]) -> dict[str, Any]:
    """Convert `warmup_ratio` to `warmup_steps` below 1, as in transformers 5."""
    if "warmup_ratio" not in arguments:
        return arguments
    others = {name: value for name, value in arguments.items() if name != "warmup_ratio"}
    steps = arguments.get("warmup_steps")
    return {**others, "warmup_steps": steps or arguments["warmup_ratio"] or 0}


def _same(name: str, before: Any, now: Any) -> bool:
    """Whether two values mean the same; off is 0, None or {}, depending on the version."""
    both_off = not before and not now
    return both_off or before == now or (name == "optim" and {before, now} <= set(_ADAMW))


def _of_optimizer(checkpoint: Path) -> dict[str, Any]:
    """Read the arguments in an optimizer's state, without loading its tensors."""
    file = checkpoint / _OPTIMIZER_FILE
    if not file.is_file():
        return {}
    state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    groups = state.get("param_groups") or [{}]
    arguments = {
        "learning_rate": groups[0].get("initial_lr"),
        # One group is that of biases and norms, which have no weight decay.
        "weight_decay": max(group.get("weight_decay") or 0.0 for group in groups),
        "adam_epsilon": groups[0].get("eps"),
    }
    if betas := groups[0].get("betas"):
        arguments["adam_beta1"], arguments["adam_beta2"] = betas
    return {name: value for name, value in arguments.items() if isinstance(value, float)}


def check_resumed(
    checkpoint: Path | None, args: transformers.TrainingArguments, *, override: bool
) -> None:
    """Compare the training arguments with those of the checkpoint, if any; log the differences.

    Raises:
        InputError: an argument that the steps depend on differs, and `override` is false.
    """
    if checkpoint is None:
        return
    changes = argument_changes(read_arguments(checkpoint)[0], args)
    fixed = [change for change in changes if change.name not in FREE]
    if fixed and not override:
        raise InputError(
            f"The checkpoint has other training arguments ({describe_changes(fixed)}): give the "
            "same again, or --override to resume with the new ones."
        )
    if changes:
        logger.warning("resuming with other arguments: %s", describe_changes(changes))
