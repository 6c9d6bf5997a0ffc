"""The phases of a recipe, for model card and report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmfast.training.recipes.summary import HEADS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmfast.training.fit import TrainResult


def phases_table(result: TrainResult) -> str:
    """Return a Markdown table of the phases; empty without a recipe."""
    if not result.phases:
        return ""
    rows = [HEADS, ["---"] * len(HEADS), *(each.cells() for each in result.phases)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n\nThe training had phases:\n\n" + "\n".join(lines)


def describe_phases(result: TrainResult) -> Iterator[tuple[str, str]]:
    """Yield the name of each phase, and what it did."""
    for each in result.phases:
        cells = each.cells()[1:]
        pairs = zip(HEADS[1:], cells, strict=True)
        yield each.name, "; ".join(f"{head} {cell}" for head, cell in pairs)


def passes(result: TrainResult) -> str:
    """Return how long a training was, beside its steps: epochs, or phases."""
    return f"{len(result.phases)} phases" if result.phases else f"{result.epochs:.2f} epochs"
