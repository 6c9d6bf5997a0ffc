"""What bench_scaling.py measures and scaling_plot.py draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alone import Measured


@dataclass(frozen=True)
class Cell:
    """One contender at one size.

    Attributes:
        size: Tokens of the input.
        label: The contender.
        work: Tokens that the call gets done.
        measured: None where it was not run, or was stopped.
        why: Then, the reason.
    """

    size: int
    label: str
    work: int
    measured: Measured | None
    why: str = ""
