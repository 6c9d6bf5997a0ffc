"""What happens at the ends of phases: `PhaseCallback`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import transformers
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

if TYPE_CHECKING:
    from mlmfast.training.recipes.schedule import PhaseSchedule

logger = logging.getLogger(__name__)


class PhaseCallback(transformers.TrainerCallback):
    """Logs which phase begins; evaluates and saves at the end of each, for the strategy `epoch`."""

    def __init__(self, schedule: PhaseSchedule) -> None:
        self._schedule = schedule

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """Log the phase of the first step, or of the one after a resume."""
        if state.global_step:  # a share of all steps, of which a changed recipe has others
            state.epoch = state.global_step / self._schedule.steps
        self._log(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
        """Evaluate and save after the last step of a phase; the Trainer does after the last one."""
        if state.global_step not in self._schedule.ends[:-1]:
            return
        if args.eval_strategy == IntervalStrategy.EPOCH:
            control.should_evaluate = True
        if args.save_strategy == SaveStrategy.EPOCH:
            control.should_save = True
        self._log(state.global_step)

    def _log(self, step: int) -> None:
        number, in_phase = self._schedule.at(step)
        phase = self._schedule.phases[number]
        logger.info(
            "phase %d of %d, %s: steps %s to %s%s; %s blocks of %d tokens in a step, learning rate "
            "%s",
            number + 1,
            len(self._schedule.phases),
            phase.name,
            f"{step - in_phase + 1:,}",
            f"{self._schedule.ends[number]:,}",
            f", from {step + 1:,} on" if in_phase else "",
            phase.batch,
            phase.block_size,
            phase.learning_rate,
        )
