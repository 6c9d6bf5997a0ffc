"""A phase in words, for tables: `PhaseSummary`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mlmfast.training.recipes.numbers import short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.training.recipes.curve import Curve
    from mlmfast.training.recipes.schedule import PhaseSteps

HEADS = ("phase", "data", "length", "steps", "tokens", "batch", "mask rate", "learning rate")


@dataclass(frozen=True)
class PhaseSummary:
    """What a phase does; None is unknown.

    Attributes:
        name: its name.
        data: its stores and their shares.
        block_size: tokens of a block.
        steps: its optimizer steps.
        tokens: positions of all blocks.
        batch_size: blocks of an optimizer step.
        mlm_probability: the mask rate.
        learning_rate: the learning rate, with the warm-up.
        rope_theta: the base of the rotary position embeddings; None for the model's own.
    """

    name: str
    data: str
    block_size: int | None
    steps: int | None
    tokens: int | None
    batch_size: str
    mlm_probability: str
    learning_rate: str
    rope_theta: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values of JSON."""
        return asdict(self)

    def cells(self) -> list[str]:
        """Return the cells of its row in a table with `HEADS`."""
        counts = ["?" if each is None else f"{each:,}" for each in (self.block_size, self.steps)]
        if self.rope_theta is not None:
            counts[0] += f" (theta {self.rope_theta:,.10g})"
        tokens = "?" if self.tokens is None else short(self.tokens)
        row = [self.name, self.data, *counts, tokens]
        return [*row, self.batch_size, self.mlm_probability, self.learning_rate]


def describe_rate(rate: Curve, warmup: int | None, before: float) -> str:
    """Write the learning rate of a phase.

    Args:
        rate: that after the warm-up.
        warmup: steps of the warm-up; None for some that are unknown.
        before: where the warm-up begins.
    """
    if warmup == 0:
        return str(rate)
    steps = "" if warmup is None else f" in {warmup:,} steps"
    then = "" if rate.start == rate.end else f", then to {rate.end:g}"
    shape = "" if not then or rate.shape == "linear" else f" ({rate.shape})"
    return f"{before:g} to {rate.start:g}{steps}{then}{shape}"


def describe_masks(rate: Any, schedule: str | None) -> str:
    """Write the mask rate of a phase: a schedule, a distribution or a number."""
    if schedule is not None:
        start, end, *shape = schedule.split(":")
        return f"{float(start):.3g} to {float(end):.3g}" + (f" ({shape[0]})" if shape else "")
    return rate if isinstance(rate, str) else f"{float(rate):.3g}"


def describe_data(names: Sequence[str], shares: Sequence[float]) -> str:
    """Write the stores of a phase and their shares."""
    if len(names) == 1:
        return names[0]
    return ", ".join(f"{name} {share:.1%}" for name, share in zip(names, shares, strict=True))


def summary_of(steps: PhaseSteps, *, data: str, masks: str) -> PhaseSummary:
    """Return the summary of a phase that is laid out."""
    return PhaseSummary(
        name=steps.name,
        data=data,
        block_size=steps.block_size,
        steps=steps.steps,
        tokens=steps.tokens,
        batch_size=str(steps.batch),
        mlm_probability=masks,
        learning_rate=describe_rate(steps.learning_rate, steps.warmup, steps.rate_before),
        rope_theta=steps.rope_theta,
    )


def text_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table in columns; those of numbers are aligned on the right."""
    table = [list(heads), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    right = {"length", "steps", "tokens", "tokens/s", "memory", "hours"}
    lines = [
        "  ".join(
            cell.rjust(width) if head in right else cell.ljust(width)
            for cell, width, head in zip(row, widths, heads, strict=True)
        ).rstrip()
        for row in table
    ]
    return "\n".join(lines)
