"""A resume that takes other training arguments than its checkpoint's, or says that it does not."""

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
from mlmfast.training.trainer.resume_changes import (
    FREE,
    GROUPS,
    OPTIMIZER,
    SCHEDULE,
    STATE_FILE,
    Change,
    argument_changes,
    arguments_of,
    read_arguments,
    told,
    write_arguments,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)


class _Held:
    """Stands where a state is loaded into, and keeps it."""

    state: Any = None

    def load_state_dict(self, state: Any) -> None:
        self.state = state


def load_overridden(
    trainer: transformers.Trainer, load: Callable[[], None], changes: list[Change]
) -> None:
    """Load the states of optimizer and scheduler, and put what was changed in its place.

    Args:
        trainer: with a new optimizer and a new scheduler.
        load: loads a checkpoint's states into the trainer's `optimizer` and `lr_scheduler`.
        changes: the arguments that are not the checkpoint's.

    Raises:
        InputError: another optimizer, where its state lies in pieces.
    """
    names = {change.name for change in changes}
    optimizer, scheduler = trainer.optimizer, trainer.lr_scheduler
    assert optimizer is not None  # noqa: S101 - made before its state is loaded
    new = [_without_weights(group) for group in optimizer.param_groups]
    anew = not names.isdisjoint(OPTIMIZER)
    if trainer.is_deepspeed_enabled or (anew and trainer.is_fsdp_enabled):
        raise InputError(
            f"Where the optimizer's state lies in pieces, a resume cannot take {told(changes)}: "
            "give the checkpoint as --model to a new training."
        )
    held = _Held()
    trainer.lr_scheduler = held
    if anew:
        logger.warning("another optimizer: its state begins anew, and the schedule goes on")
        trainer.optimizer = _Held()
    try:
        load()
    finally:
        trainer.optimizer, trainer.lr_scheduler = optimizer, scheduler
    for group, values in zip(optimizer.param_groups, new, strict=True):
        group.update({name: value for name, value in values.items() if name != "lr"})
    moved = anew or "learning_rate" in names or not names.isdisjoint(SCHEDULE)
    if "lr_scheduler_type" not in names:
        bases = getattr(scheduler, "base_lrs", None)
        scheduler.load_state_dict(held.state)
        if bases is not None:
            scheduler.base_lrs = bases
    if moved:
        _go_to(scheduler, held.state["last_epoch"], new)


def _without_weights(group: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}


def _go_to(scheduler: Any, step: int, new: list[dict[str, Any]]) -> None:
    """Give the optimizer the rates that the schedule has after so many steps."""
    moved: dict[str, Any] = {}
    if isinstance(scheduler, torch.optim.lr_scheduler.LambdaLR):
        pairs = zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
        rates = [base * factor(step) for base, factor in pairs]
        moved = {"last_epoch": step, "_step_count": step + 1}
    else:  # one that follows the evaluations, from the new learning rate on
        rates = [group["lr"] for group in new]
    for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    scheduler.load_state_dict(scheduler.state_dict() | moved | {"_last_lr": rates})


class ResumedArguments(transformers.Trainer):
    """A Trainer whose checkpoints tell their arguments, and which compares them on a resume.

    The optimizer's state brings its learning rate, weight decay, betas and epsilon along: given
    others, the Trainer alone would go on with the old ones without a word.

    Attributes:
        override: whether a resume takes the arguments of now, from its step on; otherwise those of
            the optimizer stay the checkpoint's.
        options: further options that the steps depend on, to be told with the arguments.
        option_changes: of these options, what the resume that is to come changes.
        changes: what this resume and earlier ones changed.
    """

    override: bool = False
    options: Mapping[str, Any] = MappingProxyType({})
    option_changes: tuple[Change, ...] = ()
    changes: tuple[Change, ...] = ()
    _kept: Mapping[str, Any] = MappingProxyType({})

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            name = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
            folder = Path(self._get_output_dir(trial)) / name
            arguments = {**self.options, **arguments_of(self.args), **self._kept}
            write_arguments(folder, arguments, self.changes)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        load = partial(super()._load_optimizer_and_scheduler, checkpoint)
        if checkpoint is None:
            load()
            return
        before, history = read_arguments(Path(checkpoint))
        found = argument_changes(before, self.args)
        changes = [change for change in found if change.name not in FREE]
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
                    "the optimizer goes on with the checkpoint's arguments, not with those that "
                    "were given (%s); trainer.override = True takes them",
                    told(ignored),
                )
            self._kept = {change.name: change.before for change in ignored}
            changes = [change for change in changes if change not in ignored]
        step = transformers.TrainerState.load_from_json(f"{checkpoint}/{STATE_FILE}")
        new = (*self.option_changes, *changes)
        self.changes = (*history, *(replace(change, step=step.global_step) for change in new))

    @staticmethod
    def _check_same_optimizer(changes: list[Change], lost: set[str], checkpoint: str) -> None:
        other = [change for change in changes if change.name in OPTIMIZER]
        if other or lost:
            about = told(other) or f"it knows no {', '.join(sorted(lost))}"
            raise InputError(
                f"The optimizer of {checkpoint} is another one ({about}): give the same again, or "
                "override (--override) to begin with a new state of the optimizer."
            )
