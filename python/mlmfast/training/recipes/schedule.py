"""What each step of a training in phases does, as a pure function: `PhaseSchedule`."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlmfast.training.recipes.batch_sizes import BatchSizes
    from mlmfast.training.recipes.curve import Curve


@dataclass(frozen=True)
class PhaseSteps:
    """One phase, laid out over its steps.

    Attributes:
        name: its name.
        steps: optimizer steps.
        block_size: tokens of a block.
        batch: blocks of each step.
        learning_rate: the learning rate after the warm-up, to the end of the phase.
        warmup: steps over which the learning rate rises from `rate_before`.
        rate_before: the learning rate with which the phase before ended; 0 for the first.
        rope_theta: the base of the rotary position embeddings; None for the model's own.
    """

    name: str
    steps: int
    block_size: int
    batch: BatchSizes
    learning_rate: Curve
    warmup: int = 0
    rate_before: float = 0.0
    rope_theta: float | None = None

    @property
    def blocks(self) -> int:
        """Blocks of all steps."""
        return self.batch.before(self.steps)

    @property
    def tokens(self) -> int:
        """Positions of all blocks, with padding."""
        return self.blocks * self.block_size

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0; at `steps`, that of the end."""
        if step < self.warmup:
            rise = self.learning_rate.start - self.rate_before
            return self.rate_before + rise * step / self.warmup
        return self.learning_rate.at((step - self.warmup) / max(self.steps - self.warmup, 1))


@dataclass(frozen=True)
class PhaseSchedule:
    """The phases of a training, one after the other.

    Phase, blocks and learning rate of a step are pure functions of its number, so that a training
    resumes at any step without those before it. Steps and blocks are counted from 0 over the whole
    training.

    Attributes:
        phases: the phases, one at least.
    """

    phases: tuple[PhaseSteps, ...]

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """The step after each phase."""
        return tuple(accumulate(each.steps for each in self.phases))

    @cached_property
    def first_blocks(self) -> tuple[int, ...]:
        """The number of each phase's first block, and that of all blocks."""
        return (0, *accumulate(each.blocks for each in self.phases))

    @property
    def steps(self) -> int:
        """Optimizer steps of the training."""
        return self.ends[-1]

    @property
    def blocks(self) -> int:
        """Blocks of the training; each counts as often as it is read."""
        return self.first_blocks[-1]

    @cached_property
    def peak(self) -> float:
        """The highest learning rate."""
        return max(
            rate
            for each in self.phases
            for rate in (each.learning_rate.start, each.learning_rate.end)
        )

    def at(self, step: int) -> tuple[int, int]:
        """Return the number of a step's phase, and the step in it.

        The step after the last one is in the last phase.
        """
        phase = min(bisect_right(self.ends, step), len(self.phases) - 1)
        return phase, step - (self.ends[phase - 1] if phase else 0)

    def phase_of_block(self, block: int) -> int:
        """Return the number of the phase that reads a block."""
        return min(bisect_right(self.first_blocks, block), len(self.phases)) - 1

    def blocks_of(self, step: int) -> tuple[int, int]:
        """Return the numbers of a step's first block and of the one after its last."""
        number, step = self.at(step)
        phase, first = self.phases[number], self.first_blocks[number]
        begin = first + phase.batch.before(step)
        return begin, begin + phase.batch.size(step)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        number, step = self.at(step)
        return self.phases[number].rate(step)

    def blocks_read(self, steps: int) -> tuple[int, ...]:
        """Count the blocks of each phase in the first steps of the training."""
        number, step = self.at(steps)
        whole = [each.blocks for each in self.phases[:number]]
        later = [0] * (len(self.phases) - number - 1)
        return (*whole, self.phases[number].batch.before(step), *later)

    def micro_batches(self, step: int, positions: int) -> int:
        """Return how many batches a step needs, if a batch of all processes has few positions.

        Args:
            step: the step.
            positions: the most positions of a batch of all processes, at least a block.
        """
        number, step = self.at(step)
        phase = self.phases[number]
        return -(-phase.batch.size(step) // (positions // phase.block_size))

    def most_micro_batches(self, positions: int) -> int:
        """Return how many batches the largest step needs; see `micro_batches`."""
        lasts = [end - 1 for end in self.ends]
        return max(self.micro_batches(step, positions) for step in lasts)
