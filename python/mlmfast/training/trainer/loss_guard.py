"""Noticing a loss that is no number any more, without waiting for the device at every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

# Steps between two looks at most; a look waits for the device once.
INTERVAL = 50
_NEVER = torch.iinfo(torch.int64).max


class LossGuard:
    """Remembers, on the device, the first step whose loss was NaN or infinite."""

    def __init__(self) -> None:
        self._first: torch.Tensor | None = None

    def note(self, loss: torch.Tensor, step: int) -> None:
        """Look at a loss without waiting for it.

        Args:
            loss: a scalar on any device.
            step: the optimizer step, counted from 0.
        """
        bad = torch.where(torch.isfinite(loss.detach()), _NEVER, step)
        self._first = bad if self._first is None else torch.minimum(self._first, bad)

    def first_bad(self, gather: Callable[[torch.Tensor], torch.Tensor]) -> int | None:
        """Wait for the device and tell the first such step in any process, None for none.

        Args:
            gather: brings the tensors of all processes together.
        """
        if self._first is None:
            return None
        found = int(gather(self._first[None]).min())
        return None if found == _NEVER else found
