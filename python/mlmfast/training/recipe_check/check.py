"""What a recipe will do, before anything is run: `check_recipe`."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mlmfast.data.loading.mixture.mixture import Mixture
from mlmfast.data.store.store import open_splits
from mlmfast.errors import InputError, NotFoundError
from mlmfast.training.recipes.hours import Pace, check_hours, scale_to_hours
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
from mlmfast.training.setup.speed import Measured, measure_phases
from mlmfast.training.text_data import is_blocks
from mlmfast.training.train import train

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mlmfast.training.recipes.curve import Curve
    from mlmfast.training.recipes.phase import Phase
    from mlmfast.training.recipes.recipe import Recipe
    from mlmfast.training.recipes.schedule import PhaseSteps

_SECONDS = 3600


@dataclass(frozen=True)
class PhaseCheck:
    """A phase, with what was asked or measured about it.

    Attributes:
        summary: what it does.
        hours: how long it takes; None without a speed, or if its tokens are unknown.
        measured: its speed and memory, if they were measured.
    """

    summary: PhaseSummary
    hours: float | None = None
    measured: Measured | None = None

    def cells(self, columns: Sequence[str]) -> list[str]:
        """Return the cells of its row."""
        measured = self.measured
        further = {
            "tokens/s": "" if measured is None else f"{measured.tokens_per_second:,.0f}",
            "memory": "" if measured is None else f"{measured.memory / 2**30:.2f} GiB",
            "hours": "?" if self.hours is None else f"{self.hours:,.3g}",
        }
        return [*self.summary.cells(), *(further[column] for column in columns)]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values of JSON."""
        measured = {} if self.measured is None else asdict(self.measured)
        return self.summary.to_dict() | {"hours": self.hours} | measured


@dataclass(frozen=True)
class RecipeCheck:
    """The phases of a recipe, laid out as far as their blocks are known.

    Attributes:
        source: the recipe.
        phases: its phases.
        missing: stores that do not exist yet, as sentences.
        hours: the hours that its lengths are multiplied for; None without.
        scale: the factor of its lengths for that; None if it is unknown.
    """

    source: str
    phases: tuple[PhaseCheck, ...]
    missing: tuple[str, ...]
    hours: float | None = None
    scale: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values of JSON."""
        phases = [each.to_dict() for each in self.phases]
        fitted = {"hours": self.hours, "scale": self.scale}
        return {"source": self.source, "phases": phases, "missing": list(self.missing)} | fitted

    def __str__(self) -> str:
        columns = ["tokens/s", "memory"] if any(each.measured for each in self.phases) else []
        columns += ["hours"] if any(each.hours is not None for each in self.phases) else []
        rows = [each.cells(columns) for each in self.phases]
        if len(rows) > 1:
            rows.append(self._totals(columns))
        return "\n".join([text_table([*HEADS, *columns], rows), *self._fitted(), *self.missing])

    def _fitted(self) -> list[str]:
        if self.hours is None:
            return []
        if self.scale is None:
            ways = "--tokens-per-second or --measure shows those that fit"
            return [f"hours is {self.hours:g}: the lengths above are those of the file; {ways}."]
        return [f"hours is {self.hours:g}: all lengths are multiplied by {self.scale:.6g}."]

    def _totals(self, columns: Sequence[str]) -> list[str]:
        steps = _sum([each.summary.steps for each in self.phases])
        tokens = _sum([each.summary.tokens for each in self.phases])
        hours = _sum([each.hours for each in self.phases])
        row = ["all", "", "", "?" if steps is None else f"{steps:,.0f}"]
        row += ["?" if tokens is None else short(tokens), "", "", ""]
        last = "?" if hours is None else f"{hours:,.3g}"
        return [*row, *(last if column == "hours" else "" for column in columns)]


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def check_recipe(
    source: str | Path | Mapping[str, Any] | Recipe,
    data: str | Path | Mixture | None = None,
    *,
    tokens_per_second: float | None = None,
    measure: bool = False,
    hours: float | None = None,
    **options: Any,
) -> RecipeCheck:
    """Read a recipe, check it, and lay it out.

    Stores that do not exist yet are listed; a phase with `block_size` is laid out without them.

    Args:
        source: the recipe: its file, its name in mlmfast, or its content.
        data: what phases without data read: a block store, or a mixture.
        tokens_per_second: the speed, for the hours.
        measure: train a few steps of each phase, for the hours and the memory.
        hours: lay it out so that its steps take so long, as `train` does; None for the option of
            the recipe.
        options: options of `mlmfast.train` for these steps, such as `model`.

    Raises:
        NotFoundError: there is no such recipe.
        InputError: the recipe has a mistake, or its stores do not fit it.
        StoreError: a store is damaged.
    """
    recipe = read_recipe(source)
    check_option_names(recipe, inspect.signature(train).parameters)
    if tokens_per_second is None and not measure:
        tokens_per_second = recipe.options.get("tokens_per_second")
    hours = recipe.options.get("hours") if hours is None else hours
    check_hours(hours, None, has_recipe=True)
    check_hours(1, tokens_per_second, has_recipe=True)
    missing: list[str] = []
    default = _default_mixture(recipe, data, missing)
    mixtures = [_mixture(phase, default, missing) for phase in recipe.phases]
    laid_out, summaries = _lay_out(recipe, mixtures)
    measured: list[Measured | None] = [None] * len(laid_out)
    if measure:
        known = [each for each in mixtures if each is not None]
        if len(known) < len(mixtures):
            raise InputError(
                "There is nothing to measure on: "
                f"{' '.join(missing) or 'give the block store as DATA.'}"
            )
        given = {**recipe.options, **options}
        measured = [*measure_phases(train, recipe, known, default, given)]
    speeds = [tokens_per_second if one is None else one.tokens_per_second for one in measured]
    scale = None
    if hours is not None:
        scale = _scale(recipe, float(hours), mixtures, speeds, laid_out)
    if scale is not None:
        laid_out, summaries = _lay_out(recipe.scaled(scale), mixtures)
    phases = []
    for steps, summary, speed, found in zip(laid_out, summaries, speeds, measured, strict=True):
        taken = None
        if steps is not None and speed is not None:
            taken = steps.tokens / speed / _SECONDS
        phases.append(PhaseCheck(summary, taken, found))
    return RecipeCheck(
        recipe.source, tuple(phases), tuple(dict.fromkeys(missing)), hours=hours, scale=scale
    )


def _scale(
    recipe: Recipe,
    hours: float,
    mixtures: Sequence[Mixture | None],
    speeds: Sequence[float | None],
    laid_out: Sequence[PhaseSteps | None],
) -> float | None:
    """Return the factor with which a recipe takes some hours; None if too little is known."""
    paces = []
    for phase, mixture, speed, steps in zip(recipe.phases, mixtures, speeds, laid_out, strict=True):
        counts = _counts(phase, mixture)
        if counts is None or speed is None or steps is None:
            return None
        paces.append(Pace(counts, speed))
    return scale_to_hours(recipe, hours, paces, _learning_rate(recipe))


def _learning_rate(recipe: Recipe) -> float | None:
    given = recipe.options.get("learning_rate")
    return None if given is None else number(given)


def _lay_out(
    recipe: Recipe, mixtures: Sequence[Mixture | None]
) -> tuple[list[PhaseSteps | None], list[PhaseSummary]]:
    """Lay the phases out as far as their blocks are known, and describe them."""
    default = _learning_rate(recipe)
    rate_before, laid_out, summaries = 0.0, [], []
    for phase, mixture in zip(recipe.phases, mixtures, strict=True):
        rate = rate_of(phase, default)
        counts = _counts(phase, mixture)
        steps = None if counts is None else steps_of(phase, counts, rate, rate_before)
        own = phase.mlm_probability
        masks = describe_masks(
            recipe.options.get("mlm_probability", "default") if own is None else own,
            phase.mask_rate_schedule,
        )
        stores = _describe_data(phase, mixture)
        laid_out.append(steps)
        summaries.append(
            _unknown(phase, stores, masks, rate, rate_before)
            if steps is None
            else summary_of(steps, data=stores, masks=masks)
        )
        rate_before = rate.end
    return laid_out, summaries


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
