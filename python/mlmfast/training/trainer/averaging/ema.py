"""The exponential moving average of the weights over the steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mlmfast.training.trainer.averaging.files import read_weights, write_weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_FILE = "ema.safetensors"


class ExponentialAverage:
    """`average = decay * average + (1 - decay) * weights` after every step, in float32.

    The average begins as the weights after the first step, as torch's `AveragedModel` does, so
    that it does not contain those before the training.

    Args:
        decay: between 0 and 1; the average is over about the last 1 / (1 - decay) steps.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self._update = get_ema_multi_avg_fn(decay)
        self._average: dict[str, torch.Tensor] = {}

    def after_step(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take in the weights after a step, tensors of any floating dtype by name."""
        if not self._average:
            self._average = {name: each.detach().float().clone() for name, each in weights.items()}
            return
        now = [weights[name].detach().float() for name in self._average]
        self._update(list(self._average.values()), now, 0)

    def describe(self, _step: int, _due: bool) -> str | None:
        """Describe the average; None before the first step."""
        if not self._average:
            return None
        return f"the exponential moving average of the weights over the steps, decay {self.decay:g}"

    def average(
        self, _weights: Mapping[str, torch.Tensor], _step: int, _due: bool
    ) -> dict[str, torch.Tensor]:
        """Return the average, float32 tensors by name."""
        return self._average

    def save(
        self, folder: Path, _weights: Mapping[str, torch.Tensor], _step: int, _due: bool
    ) -> None:
        """Write the state into a folder of a checkpoint."""
        if self._average:
            write_weights(self._average, folder / _FILE)

    def load(self, folder: Path | None, weights: Mapping[str, torch.Tensor]) -> None:
        """Read the state from a folder of a checkpoint; None, or one without it, starts anew.

        Raises:
            InputError: the state is of other weights.
        """
        self._average = {}
        if folder is not None and (folder / _FILE).is_file():
            found = read_weights(folder / _FILE, weights)
            self._average = {name: found[name].to(each.device) for name, each in weights.items()}
