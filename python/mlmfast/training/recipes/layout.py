"""From the phases of a recipe to their steps: `lay_out`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlmfast.errors import InputError
from mlmfast.training.recipes.batch_sizes import BatchSizes
from mlmfast.training.recipes.curve import Curve
from mlmfast.training.recipes.schedule import PhaseSchedule, PhaseSteps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.training.recipes.phase import Phase


class BlockCounts(NamedTuple):
    """What the length of a phase depends on.

    Attributes:
        block_size: tokens of a block.
        epoch: blocks of an epoch; None if unknown.
    """

    block_size: int
    epoch: int | None = None


def lay_out(
    phases: Sequence[Phase], counts: Sequence[BlockCounts], learning_rate: float | None
) -> PhaseSchedule:
    """Lay the phases of a recipe out over the steps.

    Args:
        phases: the phases.
        counts: the blocks of each.
        learning_rate: of phases without their own.

    Raises:
        InputError: a phase has no learning rate, or is shorter than its warm-up.
    """
    found = []
    rate_before = 0.0
    for phase, each in zip(phases, counts, strict=True):
        rate = rate_of(phase, learning_rate)
        steps = steps_of(phase, each, rate, rate_before)
        assert steps is not None  # noqa: S101 - the blocks of an epoch are known
        found.append(steps)
        rate_before = rate.end
    return PhaseSchedule(tuple(found))


def rate_of(phase: Phase, default: float | None) -> Curve:
    """Return the learning rate of a phase after its warm-up.

    Raises:
        InputError: it has none.
    """
    if phase.learning_rate_schedule is not None:
        return phase.learning_rate_schedule
    rate = default if phase.learning_rate is None else phase.learning_rate
    if rate is None:
        raise InputError(
            f"{phase.where} has no learning rate: give learning_rate or learning_rate_schedule, or "
            "learning_rate for all phases."
        )
    return Curve(rate, rate)


def steps_of(phase: Phase, counts: BlockCounts, rate: Curve, before: float) -> PhaseSteps | None:
    """Lay one phase out; None if it is some epochs long and their blocks are unknown.

    Args:
        phase: the phase.
        counts: its blocks.
        rate: its learning rate after the warm-up.
        before: the learning rate at the end of the phase before.

    Raises:
        InputError: it is shorter than its warm-up.
    """
    batch = _batches_of(phase, counts.block_size)
    if phase.steps is not None:
        steps = _at_least_one(phase.steps)
    elif phase.tokens is not None:
        steps = batch.steps_for(_at_least_one(phase.tokens / counts.block_size))
    elif phase.epochs is not None and counts.epoch is not None:
        steps = batch.steps_for(_at_least_one(phase.epochs * counts.epoch))
    else:
        return None
    warmup = 0
    if phase.warmup_steps is not None:
        warmup = _at_least_one(phase.warmup_steps)
    elif phase.warmup_tokens is not None:
        warmup = batch.steps_for(_at_least_one(phase.warmup_tokens / counts.block_size))
    if warmup >= steps:
        raise InputError(
            f"{phase.where}: the learning rate rises over {warmup:,} steps, and the phase has "
            f"{steps:,}: give a shorter warm-up, or a longer phase."
        )
    return PhaseSteps(
        name=phase.name,
        steps=steps,
        block_size=counts.block_size,
        batch=batch,
        learning_rate=rate,
        warmup=warmup,
        rate_before=before,
        rope_theta=phase.rope_theta,
    )


def _batches_of(phase: Phase, block_size: int) -> BatchSizes:
    first, tokens = phase.batch_size_warmup_min_size, phase.batch_size_warmup_tokens
    if first is None or tokens is None:
        return BatchSizes(phase.batch_size, phase.batch_size)
    return BatchSizes.growing(phase.batch_size, first, tokens / block_size)


def _at_least_one(count: float) -> int:
    return max(round(count), 1)
