"""How many blocks each step of a phase has: `BatchSizes`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class BatchSizes:
    """Batches that grow from `first` to `full` blocks over `warmup` steps, and then stay.

    They grow in proportion to the steps, so that all sizes have the same number of steps, as in the
    batch size warm-up of ModernBERT (Warner et al. 2024).

    Attributes:
        full: blocks of a step after the warm-up.
        first: blocks of the first step.
        warmup: steps of the warm-up.
    """

    full: int
    first: int
    warmup: int = 0

    @classmethod
    def growing(cls, full: int, first: int, blocks: float) -> BatchSizes:
        """Return batches whose warm-up has about so many blocks."""
        return cls(full, first, max(round(2 * blocks / (first + full)), 1))

    def size(self, step: int) -> int:
        """Return the blocks of a step, counted from 0."""
        if step >= self.warmup:
            return self.full
        return self.first + (self.full - self.first) * step // self.warmup

    def before(self, step: int) -> int:
        """Count the blocks of the steps before one."""
        growing = min(step, self.warmup)
        return int(self._warmup_before[growing]) + (step - growing) * self.full

    def steps_for(self, blocks: int) -> int:
        """Return the least number of steps that have so many blocks."""
        rest = blocks - self.before(self.warmup)
        if rest >= 0:
            return self.warmup + -(-rest // self.full)
        return int(np.searchsorted(self._warmup_before, blocks))

    @cached_property
    def _warmup_before(self) -> NDArray[np.int64]:
        """The blocks before each step of the warm-up and before the first one after it."""
        sizes = [self.size(step) for step in range(self.warmup)]
        return np.cumsum([0, *sizes], dtype=np.int64)

    def __str__(self) -> str:
        return f"{self.full:,}" if not self.warmup else f"{self.first:,} to {self.full:,}"
