"""A recipe whose phases together take a number of hours: `scale_to_hours`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from mlmfast.errors import InputError
from mlmfast.training.recipes.layout import lay_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.training.recipes.layout import BlockCounts
    from mlmfast.training.recipes.phase import Phase
    from mlmfast.training.recipes.recipe import Recipe

_SECONDS = 3600
# Halvings of the interval that holds the scale; after these, it no longer changes.
_HALVINGS = 60


class Pace(NamedTuple):
    """What the hours of a phase depend on.

    Attributes:
        counts: its blocks.
        tokens_per_second: positions per second of all processes.
    """

    counts: BlockCounts
    tokens_per_second: float


def check_hours(hours: Any, tokens_per_second: Any, *, has_recipe: bool) -> None:
    """Raise InputError for hours or a speed that are no positive numbers, or do not go together."""
    for name, value in {"hours": hours, "tokens_per_second": tokens_per_second}.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (is_number and 0 < value < math.inf):
            raise InputError(f"{name} is {value!r}; expected a positive number.")
    if hours is not None and not has_recipe:
        raise InputError(
            f"hours ({hours:g}) multiplies the lengths of a recipe's phases: give a recipe, such "
            "as guide, the plain training. max_time ends any training early."
        )
    if tokens_per_second is not None and hours is None:
        raise InputError(f"tokens_per_second ({tokens_per_second:g}) goes with hours: give both.")


def hours_of(phases: Sequence[Phase], paces: Sequence[Pace], learning_rate: float | None) -> float:
    """Return how long the steps of phases take.

    Raises:
        InputError: a phase has no learning rate, or is shorter than its warm-up.
    """
    schedule = lay_out(phases, [pace.counts for pace in paces], learning_rate)
    return sum(
        phase.tokens / pace.tokens_per_second / _SECONDS
        for phase, pace in zip(schedule.phases, paces, strict=True)
    )


def scale_to_hours(
    recipe: Recipe, hours: float, paces: Sequence[Pace], learning_rate: float | None
) -> float:
    """Return the largest factor of all lengths with which the phases take no longer than `hours`.

    Args:
        recipe: the recipe.
        hours: of all steps, without evaluations and checkpoints.
        paces: the blocks and the speed of each phase.
        learning_rate: of phases without their own.

    Raises:
        InputError: the phases take longer in their shortest form; or one has no learning rate, or
            is shorter than its warm-up.
    """
    given = hours_of(recipe.phases, paces, learning_rate)

    def fits(factor: float) -> bool | None:
        """Whether the phases fit into the hours; None if a warm-up would be all of its phase."""
        try:
            return hours_of(recipe.scaled(factor).phases, paces, learning_rate) <= hours
        except InputError:
            return None

    low, high, best = 0.0, hours / given, None
    while (found := fits(high)) or found is None:
        low, best = high, high if found else best
        high *= 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        found = fits(middle)
        if found:
            best = middle
        if found is False:
            high = middle
        else:
            low = middle
    if best is None:
        raise InputError(
            f"hours is {hours:g}: too short for the phases of {recipe.source}, which take "
            f"{given:.3g} hours as they are and have a step at least, and one more than their "
            "warm-up. Give more hours, smaller batches, or fewer phases."
        )
    return best
