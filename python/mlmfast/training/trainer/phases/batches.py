"""The batches of each step of a training in phases: `PhaseBatches`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmfast.training.trainer.step_batches import StepBatches

if TYPE_CHECKING:
    from mlmfast.data.loading.buffer_pool import Batch
    from mlmfast.training.phased_blocks import PhasedBlocks
    from mlmfast.training.trainer.phases.sampler import PhaseSampler


class PhaseBatches(StepBatches):
    """Makes the batches of a rank in a training in phases, as `StepBatches` does in epochs."""

    blocks: PhasedBlocks
    sampler: PhaseSampler  # type: ignore[assignment]

    def __init__(self, blocks: PhasedBlocks, sampler: PhaseSampler, **options: Any) -> None:
        super().__init__(blocks, sampler, sampler.accumulated, **options)  # type: ignore[arg-type]

    def advice(self, step: int) -> str:
        """Say where in the training a step is, as a sentence."""
        number, in_phase = self.blocks.phases.at(step)
        return (
            f"It is step {in_phase + 1:,} of the phase {self.blocks.phases.phases[number].name}. "
        )

    def _make_batch(self, number: int) -> Batch:
        if self.sampler.is_empty(number):
            return self.blocks.no_batch(number // self.accumulated)
        return super()._make_batch(number)
