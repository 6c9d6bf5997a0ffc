"""The base of the rotary position embeddings in each phase: `RotationCallback`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import transformers

if TYPE_CHECKING:
    from mlmfast.training.model.positions.rotations import Rotations
    from mlmfast.training.recipes.schedule import PhaseSchedule


class RotationCallback(transformers.TrainerCallback):
    """Gives the model the base of a phase before the first step of it.

    An evaluation and a checkpoint after the last step of a phase still have that phase's.
    """

    def __init__(self, rotations: Rotations, schedule: PhaseSchedule) -> None:
        self._rotations = rotations
        self._schedule = schedule
        self._phase: int | None = None

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """Set the base of the first step, or of the one after a resume."""
        self._phase = None
        self._use(state.global_step)

    def on_step_begin(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """Set the base of a phase that begins."""
        self._use(state.global_step)

    def _use(self, step: int) -> None:
        phase, _ = self._schedule.at(step)
        if phase != self._phase:
            self._phase = phase
            self._rotations.use(self._schedule.phases[phase].rope_theta)
