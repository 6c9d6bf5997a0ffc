"""Which weights a training averages: `--average-checkpoints last:5` or `ema:0.999`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mlmfast.errors import InputError

_NAME = "average_checkpoints"
_LAST, _EMA = "last", "ema"
_MOST = 1000


@dataclass(frozen=True)
class Averaging:
    """The average that becomes the result of a training; one of the two is set.

    Attributes:
        last: the mean of the weights at so many checkpoints, the latest ones.
        decay: the exponential moving average of the weights after every step, with this decay.
    """

    last: int | None = None
    decay: float | None = None

    @classmethod
    def parse(cls, given: str | Averaging | None) -> Averaging | None:
        """Parse `"last:N"` or `"ema:DECAY"`; None means no average.

        Raises:
            InputError: it is neither, or the number is out of range.
        """
        if given is None or isinstance(given, Averaging):
            return given
        kind, _, value = str(given).partition(":")
        try:
            if kind == _LAST and 2 <= int(value) <= _MOST:
                return cls(last=int(value))
            if kind == _EMA and 0 < (decay := float(value)) < 1 and math.isfinite(decay):
                return cls(decay=decay)
        except ValueError:
            pass
        raise InputError(
            f"{_NAME} is {given!r}; expected last:N, the mean of the weights at the last N "
            f"checkpoints (2 to {_MOST:,}), such as last:5; or ema:DECAY, their exponential moving "
            "average over the steps (between 0 and 1), such as ema:0.999."
        )

    def __str__(self) -> str:
        return f"{_EMA}:{self.decay:g}" if self.last is None else f"{_LAST}:{self.last}"

    def check(self, *, save_strategy: Any, load_best: Any, adapters: bool) -> None:
        """Raise InputError for options of a training that leave nothing to average.

        Args:
            save_strategy: when the Trainer saves checkpoints, `"no"`, `"steps"` ...
            load_best: the Trainer's `load_best_model_at_end`.
            adapters: whether adapters are trained in place of all weights.
        """
        about = f"{_NAME} ({self})"
        if adapters:
            raise InputError(
                f"{about} does not go with lora: a mean of adapters is not the adapter of the mean "
                "model, since their two factors are multiplied. Train all weights, or leave it out."
            )
        if load_best:
            raise InputError(
                f"{about} and load_best_model_at_end both say which weights are the result: give "
                "one of them."
            )
        strategy = str(getattr(save_strategy, "value", save_strategy))
        if self.last is not None and strategy not in ("steps", "epoch"):
            raise InputError(
                f"{about} averages the weights at checkpoints, and save_strategy is {strategy!r}: "
                "set it to 'steps' or 'epoch', or average over the steps with ema:0.999."
            )
