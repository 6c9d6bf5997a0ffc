"""Resumes with other training arguments than the checkpoint's: apply them, or warn."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from mlmfast.errors import InputError
from mlmfast.training.trainer.saving.resume_changes import (
    FREE,
    GROUPS,
    OPTIMIZER,
    SCHEDULE,
    STATE_FILE,
    Change,
    argument_changes,
    arguments_of,
    describe_changes,
    read_arguments,
    write_arguments,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

logger = logging.getLogger(__name__)


class _StateCapture:
    """Stands in for an optimizer or a scheduler, and keeps the state that is loaded into it."""

    state: Any = None

    def load_state_dict(self, state: Any) -> None:
        self.state = state


def load_overridden(
    trainer: transformers.Trainer, load: Callable[[], None], changes: list[Change]
) -> None:
    """Load the states of optimizer and scheduler, and apply the changed arguments to them.

    Args:
        trainer: has a new optimizer and a new scheduler.
        load: loads the states of a checkpoint into the trainer's `optimizer` and `lr_scheduler`.
        changes: the arguments that differ from the checkpoint's.

    Raises:
        InputError: the optimizer's state is sharded, and the change needs all of it.
    """
    names = {change.name for change in changes}
    optimizer, scheduler = trainer.optimizer, trainer.lr_scheduler
    assert optimizer is not None  # noqa: S101 - created before its state is loaded
    new = [_without_weights(group) for group in optimizer.param_groups]
    is_reset = not names.isdisjoint(OPTIMIZER)
    if trainer.is_deepspeed_enabled or (is_reset and trainer.is_fsdp_enabled):
        raise InputError(
            f"With a sharded optimizer state, a resume cannot change {describe_changes(changes)}: "
            "give the checkpoint as --model to a new training."
        )
    captured = _StateCapture()
    trainer.lr_scheduler = captured
    if is_reset:
        logger.warning("another optimizer: its state is reset, and the schedule continues")
        trainer.optimizer = _StateCapture()
    try:
        load()
    finally:
        trainer.optimizer, trainer.lr_scheduler = optimizer, scheduler
    for group, values in zip(optimizer.param_groups, new, strict=True):
        group.update({name: value for name, value in values.items() if name != "lr"})
    moved = is_reset or "learning_rate" in names or not names.isdisjoint(SCHEDULE)
    if "lr_scheduler_type" not in names:
        bases = getattr(scheduler, "base_lrs", None)
        scheduler.load_state_dict(captured.state)
        if bases is not None:
            scheduler.base_lrs = bases
    if moved:
        set_step(scheduler, captured.state["last_epoch"], new)


def _without_weights(group: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}


def set_step(scheduler: Any, step: int, new: Sequence[dict[str, Any]] = ()) -> None:
    """Set the learning rates of the optimizer to those of the schedule at a step.

    Args:
        scheduler: the schedule.
        step: the step.
        new: the optimizer's groups with their present learning rates, for a schedule that is no
            function of the step.
    """
    moved: dict[str, Any] = {}
    if isinstance(scheduler, torch.optim.lr_scheduler.LambdaLR):
        pairs = zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
        rates = [base * factor(step) for base, factor in pairs]
        moved = {"last_epoch": step, "_step_count": step + 1}
    else:  # ReduceLROnPlateau: starts from the new learning rate
        rates = [group["lr"] for group in new]
    for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    scheduler.load_state_dict(scheduler.state_dict() | moved | {"_last_lr": rates})


class ResumedArguments(transformers.Trainer):
    """A Trainer that writes its arguments into checkpoints and compares them on a resume.

    The optimizer's state contains its learning rate, weight decay, betas and epsilon: given other
    values, the plain Trainer would silently continue with the old ones.

    Attributes:
        override: whether a resume uses the present arguments; otherwise the optimizer keeps the
            checkpoint's.
        options: further options that the steps depend on, written with the arguments.
        option_changes: the changes of these options that the next resume makes.
        changes: the changes that this resume and earlier ones made.
    """

    override: bool = False
    options: Mapping[str, Any] = MappingProxyType({})
    option_changes: tuple[Change, ...] = ()
    changes: tuple[Change, ...] = ()
    _kept_arguments: Mapping[str, Any] = MappingProxyType({})

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            name = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
            folder = Path(self._get_output_dir(trial)) / name
            arguments = {**self.options, **arguments_of(self.args), **self._kept_arguments}
            write_arguments(folder, arguments, self.changes)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        load = partial(super()._load_optimizer_and_scheduler, checkpoint)
        if checkpoint is None:
            load()
            return
        before, history = read_arguments(Path(checkpoint))
        differences = argument_changes(before, self.args)
        changes = [change for change in differences if change.name not in FREE]
        if self.override and changes:
            load_overridden(self, load, changes)
        else:
            optimizer: Any = self.optimizer
            fields = {name for group in optimizer.param_groups for name in group}
            self._check_same_optimizer(changes, set(), checkpoint)
            load()
            loaded = {name for group in optimizer.param_groups for name in group}
            self._check_same_optimizer([], fields - loaded, checkpoint)
            ignored = [change for change in changes if change.name in GROUPS]
            if ignored:
                logger.warning(
                    "the optimizer keeps the arguments of the checkpoint and ignores the given "
                    "ones (%s); trainer.override = True applies them",
                    describe_changes(ignored),
                )
            self._kept_arguments = {change.name: change.before for change in ignored}
            changes = [change for change in changes if change not in ignored]
        step = transformers.TrainerState.load_from_json(f"{checkpoint}/{STATE_FILE}")
        new = (*self.option_changes, *changes)
        self.changes = (*history, *(replace(change, step=step.global_step) for change in new))

    @staticmethod
    def _check_same_optimizer(changes: list[Change], lost: set[str], checkpoint: str) -> None:
        kind = [change for change in changes if change.name in OPTIMIZER]
        if kind or lost:
            about = describe_changes(kind) or f"it has no {', '.join(sorted(lost))}"
            raise InputError(
                f"The optimizer of {checkpoint} is another one ({about}): give the same again, or "
                "override (--override) to reset the state of the optimizer."
            )
