"""A mask rate that changes during a training: `MaskRateSchedule`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlmfast.errors import InputError

SHAPES = ("linear", "cosine")


@dataclass(frozen=True, init=False)
class MaskRateSchedule:
    """A mask rate that changes from one value to another over some steps, and then stays there.

    High rates early and low rates late train better than one rate for all steps (Yang et al. 2023,
    "Learning Better Masking for Better Language Model Pre-training").

    Args:
        rates: `"start:end"` changes linearly, for example `"0.3:0.15"`; `"0.3:0.15:cosine"`
            follows half a cosine wave, slow at both ends.
        steps: Number of steps from the start to the end.

    Raises:
        InputError: `rates` is not of this form, a rate is outside of 0..1, or `steps` is below 1.

    Examples:
        >>> schedule = MaskRateSchedule("0.3:0.1", 100)
        >>> [round(schedule.rate(step), 3) for step in (0, 50, 100, 1000)]
        [0.3, 0.2, 0.1, 0.1]
        >>> round(MaskRateSchedule("0.3:0.1:cosine", 100).rate(25), 3)
        0.271
    """

    start: float
    end: float
    steps: int
    shape: str

    def __init__(self, rates: str, steps: int) -> None:
        try:
            first, last, *shapes = rates.split(":")
            start, end = float(first), float(last)
            (shape,) = shapes or SHAPES[:1]
        except (ValueError, AttributeError):
            raise InputError(
                "a mask rate schedule is written 'start:end' or 'start:end:cosine', as in "
                f"'0.3:0.15'; got {rates!r}"
            ) from None
        if shape not in SHAPES:
            raise InputError(
                f"a mask rate goes from start to end {' or '.join(SHAPES)}, not {shape!r}"
            )
        if not (0 <= start <= 1 and 0 <= end <= 1):
            raise InputError(f"mask rates must be between 0 and 1, got {rates!r}")
        if steps < 1:
            raise InputError(f"a mask rate schedule needs at least 1 step, got {steps}")
        # The class is frozen.
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "end", end)
        object.__setattr__(self, "steps", int(steps))
        object.__setattr__(self, "shape", shape)

    def rate(self, step: int) -> float:
        """Return the rate at a step, counted from 0."""
        passed = min(max(step, 0), self.steps) / self.steps
        if self.shape == "cosine":
            # The last bits of a cosine differ between machines; the masks must not.
            passed = round((1 - math.cos(math.pi * passed)) / 2, 9)
        return self.start + (self.end - self.start) * passed
