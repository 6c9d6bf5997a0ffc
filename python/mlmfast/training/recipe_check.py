"""What a recipe will do, before anything is run: `check_recipe`."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmfast.data.loading.mixture.mixture import Mixture
from mlmfast.data.store.store import open_splits
from mlmfast.errors import InputError, NotFoundError
from mlmfast.training.recipes.layout import BlockCounts, rate_of, steps_of
from mlmfast.training.recipes.numbers import number, short
from mlmfast.training.recipes.recipe import read_recipe
from mlmfast.training.recipes.summary import (
    HEADS,
    PhaseSummary,
    describe_data,
    describe_masks,
    describe_rate,
    summary_of,
    text_table,
)
from mlmfast.training.setup.phases import open_mixture
from mlmfast.training.setup.recipe import check_option_names, mixture_of
from mlmfast.training.text_data import is_blocks
from mlmfast.training.train import train

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlmfast.training.recipes.curve import Curve
    from mlmfast.training.recipes.phase import Phase
    from mlmfast.training.recipes.recipe import Recipe
    from mlmfast.training.recipes.schedule import PhaseSteps

_SECONDS = 3600


@dataclass(frozen=True)
class RecipeCheck:
    """The phases of a recipe, laid out as far as their blocks are known.

    Attributes:
        source: the recipe.
        phases: what each does.
        hours: how long each takes; None without a speed, or if its tokens are unknown.
        missing: stores that do not exist yet, as sentences.
    """

    source: str
    phases: tuple[PhaseSummary, ...]
    hours: tuple[float | None, ...]
    missing: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values of JSON."""
        return {
            "source": self.source,
            "phases": [
                each.to_dict() | {"hours": hours}
                for each, hours in zip(self.phases, self.hours, strict=True)
            ],
            "missing": list(self.missing),
        }

    def __str__(self) -> str:
        heads, rows = list(HEADS), [each.cells() for each in self.phases]
        total = ["all", "", "", *self._totals(), "", "", ""]
        if any(hours is not None for hours in self.hours):
            heads.append("hours")
            cells = ["?" if hours is None else f"{hours:,.2f}" for hours in self.hours]
            rows = [[*row, cell] for row, cell in zip(rows, cells, strict=True)]
            known = [hours for hours in self.hours if hours is not None]
            total.append(f"{sum(known):,.2f}" if len(known) == len(self.hours) else "?")
        if len(rows) > 1:
            rows.append(total)
        return "\n".join([text_table(heads, rows), *self.missing])

    def _totals(self) -> list[str]:
        steps = [each.steps for each in self.phases]
        tokens = [each.tokens for each in self.phases]
        return [
            "?" if None in steps else f"{sum(filter(None, steps)):,}",
            "?" if None in tokens else short(sum(filter(None, tokens))),
        ]


def check_recipe(
    source: str | Path | Mapping[str, Any] | Recipe,
    data: str | Path | Mixture | None = None,
    *,
    tokens_per_second: float | None = None,
) -> RecipeCheck:
    """Read a recipe, check it, and lay it out.

    Stores that do not exist yet are listed; a phase with `block_size` is laid out without them.

    Args:
        source: the recipe: its file, its name in mlmfast, or its content.
        data: what phases without data read: a block store, or a mixture.
        tokens_per_second: the speed, for the hours.

    Raises:
        NotFoundError: there is no such recipe.
        InputError: the recipe has a mistake, or its stores do not fit it.
        StoreError: a store is damaged.
    """
    recipe = read_recipe(source)
    check_option_names(recipe, inspect.signature(train).parameters)
    missing: list[str] = []
    default = _default_mixture(recipe, data, missing)
    given = recipe.options.get("learning_rate")
    rate_before, rows, laid_out = 0.0, [], []
    for phase in recipe.phases:
        mixture = _mixture(phase, default, missing)
        rate = rate_of(phase, None if given is None else number(given))
        steps = None
        if (counts := _counts(phase, mixture)) is not None:
            steps = steps_of(phase, counts, rate, rate_before)
        masks = describe_masks(
            recipe.options.get("mlm_probability", "default")
            if phase.mlm_probability is None
            else phase.mlm_probability,
            phase.mask_rate_schedule,
        )
        described = _describe_data(phase, mixture)
        if steps is None:
            rows.append(_unknown(phase, described, masks, rate, rate_before))
        else:
            rows.append(summary_of(steps, data=described, masks=masks))
        laid_out.append(steps)
        rate_before = rate.end
    hours = [_hours(steps, tokens_per_second) for steps in laid_out]
    return RecipeCheck(recipe.source, tuple(rows), tuple(hours), tuple(dict.fromkeys(missing)))


def _default_mixture(
    recipe: Recipe, data: str | Path | Mixture | None, missing: list[str]
) -> Mixture | None:
    """Open what phases without data read; None if there is none, or it is text."""
    try:
        given: Any = mixture_of(recipe) if data is None else data
        if given is None or isinstance(given, Mixture):
            return given
        if not is_blocks(given):
            return None
        return Mixture([open_splits(given)["train"]])
    except NotFoundError as error:
        missing.append(str(error))
        return None


def _mixture(phase: Phase, default: Mixture | None, missing: list[str]) -> Mixture | None:
    if phase.data is None and default is None:
        return None
    try:
        return open_mixture(phase, default)
    except NotFoundError as error:
        missing.append(str(error))
        return None


def _counts(phase: Phase, mixture: Mixture | None) -> BlockCounts | None:
    if mixture is not None:
        return BlockCounts(mixture.joined.block_size, len(mixture))
    return None if phase.block_size is None else BlockCounts(phase.block_size)


def _describe_data(phase: Phase, mixture: Mixture | None) -> str:
    if mixture is not None:
        return describe_data(mixture.names, mixture.probabilities)
    if isinstance(phase.data, dict):
        return ", ".join(f"{store} {weight}" for store, weight in phase.data.items())
    return phase.data if isinstance(phase.data, str) else "DATA"


def _unknown(phase: Phase, data: str, masks: str, rate: Curve, rate_before: float) -> PhaseSummary:
    """Return the summary of a phase whose steps are unknown, as its blocks are."""
    has_warmup = phase.warmup_steps is not None or phase.warmup_tokens is not None
    first = phase.batch_size_warmup_min_size
    growth = "" if first is None else f"{first:,} to "
    return PhaseSummary(
        name=phase.name,
        data=data,
        block_size=phase.block_size,
        steps=None if phase.steps is None else max(round(phase.steps), 1),
        tokens=None if phase.tokens is None else round(phase.tokens),
        batch_size=f"{growth}{phase.batch_size:,}",
        mlm_probability=masks,
        learning_rate=describe_rate(rate, None if has_warmup else 0, rate_before),
        rope_theta=phase.rope_theta,
    )


def _hours(steps: PhaseSteps | None, tokens_per_second: float | None) -> float | None:
    if tokens_per_second is None or steps is None:
        return None
    if tokens_per_second <= 0:
        raise InputError(f"tokens_per_second is {tokens_per_second:g}; expected more than 0.")
    return steps.tokens / tokens_per_second / _SECONDS
