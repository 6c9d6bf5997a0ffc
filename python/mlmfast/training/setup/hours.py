"""A recipe fitted into a number of hours, once, at the start of a training: `fitted_to_hours`."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError
from mlmfast.training.recipes.hours import Pace, hours_of, scale_to_hours
from mlmfast.training.recipes.layout import BlockCounts
from mlmfast.training.trainer.saving.run_dir import RunDir, recorded_run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlmfast.data.loading.mixture.mixture import Mixture
    from mlmfast.training.process.distributed import Processes
    from mlmfast.training.recipes.recipe import Recipe
    from mlmfast.training.setup.config import TrainConfig
    from mlmfast.training.setup.speed import Measured

    Measure = Callable[[Recipe, Sequence[Mixture], Any], list[Measured]]

logger = logging.getLogger(__name__)

HOURS, SCALE = "hours", "scale"
"""What the run of a training records: the hours, and the factor of all lengths."""


def fitted_to_hours(
    config: TrainConfig,
    mixtures: Sequence[Mixture],
    data: Any,
    processes: Processes,
    measure: Measure,
) -> Recipe:
    """Return the recipe with its lengths multiplied so that its steps take `config.hours`.

    A new training measures its speed, or takes `tokens_per_second`. A resumed one takes the factor
    that it began with, which its run records: its steps do not depend on the machine.

    Args:
        config: the options of the training; they have a recipe and hours.
        mixtures: the stores of its phases.
        data: what phases without data read.
        processes: the processes that train together.
        measure: trains a few steps of each phase.

    Raises:
        InputError: the hours are too short, or not those of the checkpoint; or several processes
            train together, whose speed is not measured.
        NotFoundError: there is no checkpoint to resume from.
        OutputExistsError: there are checkpoints, and neither a resume nor `overwrite` is wanted.
    """
    recipe, hours = config.recipe, config.hours
    assert recipe is not None  # noqa: S101 - the caller has them
    assert hours is not None  # noqa: S101
    factor = processes.run_on_rank0(lambda: _recorded(config))
    rate = config.training_arguments.get("learning_rate")
    if factor is None:
        speeds = _speeds(config, recipe, mixtures, data, processes, measure)
        paces = [
            Pace(BlockCounts(each.joined.block_size, len(each)), speed)
            for each, speed in zip(mixtures, speeds, strict=True)
        ]
        factor = scale_to_hours(recipe, hours, paces, rate)
        found = recipe.scaled(factor)
        logger.info(
            "the steps of %s take %.3g of %g hours at %s tokens/s with all lengths multiplied by "
            "%.6g; a resume takes the same steps at any speed",
            recipe.source,
            hours_of(found.phases, paces, rate),
            hours,
            ", ".join(f"{speed:,.0f}" for speed in dict.fromkeys(speeds)),
            factor,
        )
    else:
        found = recipe.scaled(factor)
        logger.info(
            "%g hours at the speed of the start: all lengths of %s are multiplied by %.6g, as "
            "before",
            hours,
            recipe.source,
            factor,
        )
    return replace(found, fitted=factor)


def _recorded(config: TrainConfig) -> float | None:
    """Return the factor of the training that is to be resumed; None if a new one begins."""
    folder = RunDir(config.output, {})
    checkpoint = folder.choose(config.resume_from_checkpoint, overwrite=config.overwrite)
    if checkpoint is None:
        return None
    run = recorded_run(checkpoint)
    before, factor = run.get(HOURS), run.get(SCALE)
    if before != config.hours or factor is None:
        raise InputError(
            f"The checkpoints in {checkpoint.parent} belong to a training with other hours "
            f"({before}, now {config.hours:g}): give the same again, or start a new training with "
            "--overwrite."
        )
    return float(factor)


def _speeds(
    config: TrainConfig,
    recipe: Recipe,
    mixtures: Sequence[Mixture],
    data: Any,
    processes: Processes,
    measure: Measure,
) -> list[float]:
    """Return the positions per second of all processes, by phase."""
    if config.tokens_per_second is not None:
        return [config.tokens_per_second] * len(mixtures)
    if processes.count > 1:
        raise InputError(
            f"hours ({config.hours:g}) needs the speed of {processes.count} processes together, "
            "which is not measured: give --tokens-per-second (the result of an earlier training "
            "names it; `mlmfast recipe check --measure` measures one process)."
        )
    logger.info("measuring the speed: a few steps of each phase")
    return [each.tokens_per_second for each in measure(recipe, mixtures, data)]
