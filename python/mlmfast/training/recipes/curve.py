"""A value that changes over a phase: `Curve`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mlmfast.training.recipes.numbers import number

SHAPES = ("linear", "cosine", "1-sqrt")
EXPECTED = f"START:END or START:END:SHAPE (SHAPE {', '.join(SHAPES)}), such as 8e-4:0:1-sqrt"


@dataclass(frozen=True)
class Curve:
    """A value from `start` to `end`.

    `1-sqrt` falls fast at first: `end + (start - end) * (1 - sqrt(x))` (Hägele et al. 2024,
    "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations").

    Attributes:
        start: the value at 0.
        end: the value at 1.
        shape: one of `SHAPES`.
    """

    start: float
    end: float
    shape: str = SHAPES[0]

    @classmethod
    def parse(cls, text: Any) -> Curve:
        """Return the curve that is written `START:END` or `START:END:SHAPE`.

        Raises:
            ValueError: it is written otherwise.
        """
        if not isinstance(text, str):
            raise ValueError(text)  # noqa: TRY004 - one error for whatever is no curve
        first, last, *shapes = text.split(":")
        (shape,) = shapes or SHAPES[:1]
        if shape not in SHAPES:
            raise ValueError(text)
        return cls(number(first), number(last), shape)

    def at(self, passed: float) -> float:
        """Return the value where a share of the way is passed, 0 to 1."""
        if self.start == self.end:
            return self.start
        if self.shape == "cosine":
            passed = (1 - math.cos(math.pi * passed)) / 2
        elif self.shape == "1-sqrt":
            passed = math.sqrt(passed)
        return self.start + (self.end - self.start) * passed

    def __str__(self) -> str:
        if self.start == self.end:
            return f"{self.start:g}"
        return f"{self.start:g} to {self.end:g}" + (
            "" if self.shape == SHAPES[0] else f" ({self.shape})"
        )
