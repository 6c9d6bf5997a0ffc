"""Detects a loss of NaN or Inf without synchronizing with the device at every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

# Maximum number of steps between two checks; a check synchronizes with the device once.
INTERVAL = 50
_NEVER = torch.iinfo(torch.int64).max


class LossGuard:
    """Keeps the first step whose loss is NaN or Inf, on the device."""

    def __init__(self) -> None:
        self._first: torch.Tensor | None = None

    def record(self, loss: torch.Tensor, step: int) -> None:
        """Record a loss without synchronizing.

        Args:
            loss: a scalar on any device.
            step: the optimizer step, counted from 0.
        """
        bad = torch.where(torch.isfinite(loss.detach()), _NEVER, step)
        self._first = bad if self._first is None else torch.minimum(self._first, bad)

    def first_bad(self, gather: Callable[[torch.Tensor], torch.Tensor]) -> int | None:
        """Synchronize and return the first such step of any process; None if there is none.

        Args:
            gather: gathers a tensor from all processes.
        """
        if self._first is None:
            return None
        first = int(gather(self._first[None]).min())
        return None if first == _NEVER else first
