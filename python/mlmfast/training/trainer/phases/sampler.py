"""Which blocks a batch of a training in phases has: `PhaseSampler`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from mlmfast.training.recipes.schedule import PhaseSchedule


@dataclass(frozen=True)
class PhaseSampler:
    """Divides the blocks of each step into batches and among ranks.

    All steps have `accumulated` batches, since the Trainer counts them. A step that needs fewer, as
    its blocks are fewer or shorter, has empty ones first, which no process computes. The blocks of
    the others are divided as evenly as possible.

    Attributes:
        schedule: The phases.
        positions: The most positions of a batch of all ranks.
        accumulated: Batches of a rank in an optimizer step.
        rank: The rank of this process, from 0 on.
        world_size: Number of processes.
    """

    schedule: PhaseSchedule
    positions: int
    accumulated: int
    rank: int = 0
    world_size: int = 1

    @property
    def all_ranks(self) -> Self:
        """The sampler of one process whose batches are those of all ranks together."""
        return replace(self, rank=0, world_size=1)

    @property
    def global_batches(self) -> int:
        """Number of global batches in the training."""
        return self.schedule.steps * self.accumulated

    def is_empty(self, batch: int) -> bool:
        """Whether no rank has blocks in a batch."""
        step, place = divmod(batch, self.accumulated)
        return place < self._first(step)

    def block_ids(self, batch: int, _epoch: int = 0) -> NDArray[np.uint64]:
        """Return the numbers of the blocks in this rank's batch number `batch`, uint64."""
        step, place = divmod(batch, self.accumulated)
        begin, end = self.schedule.blocks_of(step)
        place -= self._first(step)
        if place < 0:
            return np.empty(0, np.uint64)
        shares = (self.accumulated - self._first(step)) * self.world_size
        share, count = place * self.world_size + self.rank, end - begin
        return np.arange(
            begin + count * share // shares, begin + count * (share + 1) // shares, dtype=np.uint64
        )

    def _first(self, step: int) -> int:
        """Return the first batch of a step that is not empty."""
        return self.accumulated - self.schedule.micro_batches(step, self.positions)
