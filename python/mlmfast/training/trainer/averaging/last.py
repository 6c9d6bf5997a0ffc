"""The mean of the weights at the last checkpoints."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import torch

from mlmfast.training.trainer.averaging.files import link, read_weights, write_weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SNAPSHOT = re.compile(r"step-(\d+)\.safetensors")


class MeanOfLast:
    """The mean of the weights at the last checkpoints, summed in float32.

    The weights at each checkpoint are written once, beside the checkpoints. A checkpoint has hard
    links to those that the average needs, so that it can resume on its own and takes no more space.

    Args:
        count: how many checkpoints.
        home: the folder for the weights; it is emptied when a training starts.
    """

    def __init__(self, count: int, home: Path) -> None:
        self.count = count
        self._home = home
        self._files: dict[int, Path] = {}

    def after_step(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Do nothing: only checkpoints count."""

    def describe(self, step: int, due: bool) -> str | None:
        """Describe the average; None where there has been no checkpoint.

        Args:
            step: the present step.
            due: whether a checkpoint of this step belongs to the average.
        """
        steps = self._steps(step, due)
        if not steps:
            return None
        return f"the mean of the weights at steps {', '.join(f'{each:,}' for each in steps)}"

    def average(
        self, weights: Mapping[str, torch.Tensor], step: int, due: bool
    ) -> dict[str, torch.Tensor]:
        """Return the mean, float32 tensors by name on the CPU.

        Args:
            weights: the present weights, tensors of any floating dtype by name.
            step: the present step.
            due: whether the present weights belong to the average.

        Raises:
            InputError: a checkpoint has other weights.
        """
        steps = self._steps(step, due)
        total = {name: torch.zeros(each.shape) for name, each in weights.items()}
        for each in steps:
            known = each in self._files
            values = read_weights(self._files[each], weights) if known else weights
            for name, summed in total.items():
                summed.add_(values[name].detach().to("cpu", torch.float32))
        return {name: summed / len(steps) for name, summed in total.items()}

    def save(self, folder: Path, weights: Mapping[str, torch.Tensor], step: int, due: bool) -> None:
        """Write the present weights if they belong to the average, and the state into a folder."""
        self._home.mkdir(parents=True, exist_ok=True)
        for each in self._steps(step, due):
            if each not in self._files:
                self._files[each] = self._home / _name(each)
                write_weights(weights, self._files[each])
            link(self._files[each], folder / _name(each))
        self._drop_old()

    def load(self, folder: Path | None, _weights: Mapping[str, torch.Tensor]) -> None:
        """Read the state from a folder of a checkpoint; None, or one without it, starts anew."""
        shutil.rmtree(self._home, ignore_errors=True)
        self._files = {}
        if folder is None or not folder.is_dir():
            return
        self._home.mkdir(parents=True)
        for path in folder.iterdir():
            if match := _SNAPSHOT.fullmatch(path.name):
                self._files[int(match[1])] = self._home / path.name
                link(path, self._home / path.name)
        self._drop_old()

    def _steps(self, step: int, due: bool) -> list[int]:
        return sorted({*self._files, *([step] if due else [])})[-self.count :]

    def _drop_old(self) -> None:
        for step in sorted(self._files)[: -self.count]:
            self._files.pop(step).unlink(missing_ok=True)


def _name(step: int) -> str:
    return f"step-{step}.safetensors"
