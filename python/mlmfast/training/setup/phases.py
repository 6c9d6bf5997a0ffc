"""The blocks of a training in phases, opened and laid out."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any

from mlmfast.data.loading.mixture.mixture import Mixture
from mlmfast.data.store.cut import CutStore
from mlmfast.data.store.named import names_of
from mlmfast.data.store.store import BlockStore
from mlmfast.errors import InputError, MlmfastError
from mlmfast.training.model.documents.mode import numbers_documents
from mlmfast.training.phased_blocks import PhasedBlocks
from mlmfast.training.recipes.layout import BlockCounts, lay_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.training.recipes.phase import Phase
    from mlmfast.training.recipes.recipe import Recipe
    from mlmfast.training.recipes.schedule import PhaseSchedule
    from mlmfast.training.setup.config import TrainConfig
    from mlmfast.training.trainer.saving.phase_changes import PhaseRecord

logger = logging.getLogger(__name__)


def open_mixtures(recipe: Recipe, source: BlockStore | Mixture | None) -> list[Mixture]:
    """Open the stores of each phase; the log says which blocks are cut.

    Args:
        recipe: the recipe.
        source: what phases without data read.

    Raises:
        InputError: a phase has no data, the stores cannot be mixed, or no phase reads `source`.
        NotFoundError: a store does not exist.
        StoreError: a store is damaged.
    """
    default = Mixture([source]) if isinstance(source, BlockStore) else source
    if source is not None and all(phase.data is not None for phase in recipe.phases):
        raise InputError(f"All phases of {recipe.source} have data of their own: leave out DATA.")
    mixtures = [open_mixture(phase, default) for phase in recipe.phases]
    for phase, mixture in zip(recipe.phases, mixtures, strict=True):
        for store in mixture.stores:
            if isinstance(store, CutStore):
                logger.info(
                    "%s reads each block of %s (%d tokens) as blocks of %d",
                    phase.name,
                    store.path,
                    store.whole.block_size,
                    store.block_size,
                )
    return mixtures


def open_mixture(phase: Phase, default: Mixture | None) -> Mixture:
    """Open the stores of a phase; blocks that are longer than the phase says are cut.

    Args:
        phase: the phase.
        default: what a phase without data reads.

    Raises:
        InputError: the phase has no data, or the stores cannot be mixed, or have blocks that are
            shorter than the phase says, or cannot be cut to that length.
        NotFoundError: a store does not exist.
        StoreError: a store is damaged.
    """
    if phase.data is None:
        if default is None:
            raise InputError(
                f"{phase.where} has no data: give it there, for all phases, or as DATA."
            )
        mixture = default
    else:
        try:
            if isinstance(phase.data, str):
                mixture = Mixture([phase.data])
            else:
                weighted = [(store, weight) for store, weight in phase.data.items()]
                mixture = Mixture.of_weights(weighted, phase.data_temperature)
        except MlmfastError as error:
            error.args = (f"{phase.where}: {error}",)
            raise
    found = mixture.joined.block_size
    if phase.block_size is None or phase.block_size == found:
        return mixture
    if phase.block_size > found:
        raise InputError(
            f"{phase.where} is for blocks of {phase.block_size:,} tokens, and those of "
            f"{mixture.joined.path} have {found:,}: prepare them with --block-size "
            f"{phase.block_size}, or change block_size."
        )
    try:
        return mixture.cut(phase.block_size)
    except InputError as error:
        raise InputError(f"{phase.where}: {error}") from None


def schedule_of(
    recipe: Recipe, mixtures: Sequence[Mixture], learning_rate: float | None
) -> PhaseSchedule:
    """Lay a recipe out over the steps, with the blocks of its phases.

    Raises:
        InputError: a phase has no learning rate, or is shorter than its warm-up.
    """
    counts = [BlockCounts(each.joined.block_size, len(each)) for each in mixtures]
    return lay_out(recipe.phases, counts, learning_rate)


def phased_blocks(config: TrainConfig, mixtures: Sequence[Mixture]) -> PhasedBlocks:
    """Make the data set of a training in phases.

    Raises:
        InputError: the stores or options do not fit together.
    """
    assert config.recipe is not None  # noqa: S101 - the caller has one
    given = config.training_arguments
    schedule = schedule_of(config.recipe, mixtures, given.get("learning_rate"))
    stores = {store.path: store for each in mixtures for store in each.stores}
    numbered = [numbers_documents(store, config.documents) for store in stores.values()]
    return PhasedBlocks(
        schedule,
        mixtures,
        masks=[config.masks | _masks_of(phase) for phase in config.recipe.phases],
        seed=config.seed,
        data_seed=given.get("data_seed"),
        documents=all(numbered),
        pad_to_max_length=config.options.pad_to_max_length,
    )


def _masks_of(phase: Phase) -> dict[str, Any]:
    """Return the mask options that a phase has for itself."""
    if phase.mask_rate_schedule is not None:
        return {"mask_rate_schedule": phase.mask_rate_schedule}
    return {} if phase.mlm_probability is None else {"mlm_probability": phase.mlm_probability}


def measured_blocks(
    recipe: Recipe, mixtures: Sequence[Mixture], measured: BlockStore | dict[str, BlockStore] | None
) -> BlockStore | dict[str, BlockStore] | None:
    """Return the test splits to measure on: all that have blocks of the last phase's length.

    Args:
        recipe: the recipe.
        mixtures: the stores of the phases.
        measured: the test splits of what phases without data read.
    """
    length = mixtures[-1].joined.block_size
    own = list(measured.values()) if isinstance(measured, dict) else [measured] if measured else []
    if recipe.phases[-1].data is None:  # that phase may cut the blocks
        own = [one if one.block_size == length else CutStore(one, length) for one in own]
    tests: dict[Any, BlockStore] = {}
    for store in (*own, *(test for each in mixtures for test in each.tests.values())):
        if store.block_size == length and len(store):
            tests.setdefault(store.path.resolve(), store)
    if len(tests) < 2:
        return next(iter(tests.values()), None)
    return dict(zip(names_of(list(tests.values())), tests.values(), strict=True))


def describe_phases(blocks: PhasedBlocks) -> list[PhaseRecord]:
    """Describe what a resume compares, by phase."""
    found: list[PhaseRecord] = []
    for phase, part, summary in zip(
        blocks.phases.phases, blocks.parts, blocks.summaries(), strict=True
    ):
        mixture = part.mixture
        assert mixture is not None  # noqa: S101 - the blocks of a phase are always a mixture
        shares = ", ".join(
            f"{blocks.source_names[source]} {share:.6g}"
            for source, share in zip(mixture.numbers, mixture.probabilities, strict=True)
        )
        base = "" if phase.rope_theta is None else f", rope_theta {phase.rope_theta:g}"
        growth = f" over {phase.batch.warmup:,} steps" if phase.batch.warmup else ""
        what = (
            f"{phase.steps:,} steps of {summary.batch_size} blocks{growth} of {phase.block_size} "
            f"tokens, {shares}, learning rate {summary.learning_rate}, masks "
            f"{summary.mlm_probability}{base}"
        )
        shards = [shard.sha256 for store in mixture.stores for shard in store.manifest.shards]
        data = hashlib.sha256("".join(shards).encode()).hexdigest()
        found.append({"name": phase.name, "steps": phase.steps, "what": what, "data": data})
    return found
