"""The blocks of a training: opened, or prepared from text, and compared between processes."""

from __future__ import annotations

import logging
import os
from functools import partial
from typing import TYPE_CHECKING, Any

from mlmfast.data.loading.mixture.mixture import Mixture
from mlmfast.data.store.named import joined
from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.errors import InputError, StoreError
from mlmfast.training.datasets import EvaluationBlocks, MaskedBlocks
from mlmfast.training.evaluation.evaluate import open_evaluation_stores
from mlmfast.training.model.documents.mode import numbers_documents
from mlmfast.training.phased_blocks import PhasedBlocks
from mlmfast.training.setup.phases import measured_blocks, open_mixtures, phased_blocks
from mlmfast.training.text_data import prepare_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlmfast.data.store.named import NamedStores
    from mlmfast.training.process.distributed import Processes
    from mlmfast.training.recipes.recipe import Recipe
    from mlmfast.training.setup.config import TrainConfig


logger = logging.getLogger(__name__)


def build_datasets(
    config: TrainConfig, processes: Processes
) -> tuple[MaskedBlocks, EvaluationBlocks | None]:
    """Open the blocks to train on and to measure on, the same ones in all processes.

    Returns:
        The training blocks, and the evaluation blocks; None if nothing is measured.

    Raises:
        InputError: the text, the store or a mask option cannot be used.
        NotFoundError: the text or the store does not exist.
        StoreError: the store is damaged, or another one in another process.
    """
    data = config.data
    if config.is_text:
        prepare = partial(
            prepare_text,
            data,
            config.options,
            model=config.model or config.distillation.teacher,
            quiet=config.quiet,
            add_tokens=config.new_tokens,
            length=config.length,
        )
        data = processes.run_on_rank0(prepare)
    given = config.training_arguments
    if config.recipe is None:
        source, measured = _choose_stores(data, config.eval_data, given)
        train = _masked_blocks(config, source)
    else:
        train, measured = _phases(config, config.recipe, data)
    eval_store = None if measured is None else joined(measured)
    _check_stores(
        (*(train.sources if isinstance(train, PhasedBlocks) else [train.store]), eval_store),
        processes,
        verify=config.verify_store,
        progress=processes.is_main_process and not config.quiet,
    )
    if train.packing is not None:
        logger.info(
            "packed %s documents into %s rows of %d tokens, which are %.1f %% full",
            f"{len(train.packing.lengths):,}",
            f"{len(train):,}",
            train.store.block_size,
            100 * train.fill_rate,
        )
    if eval_store is None or measured is None:
        return train, None
    return train, EvaluationBlocks(
        measured,
        pad_to_max_length=config.options.pad_to_max_length,
        limit=config.options.max_eval_samples,
        documents=numbers_documents(eval_store, config.documents),
    )


def _masked_blocks(config: TrainConfig, source: BlockStore | Mixture) -> MaskedBlocks:
    """Make the data set of a training on one store or mixture."""
    store = source.joined if isinstance(source, Mixture) else source
    return MaskedBlocks(
        source,
        seed=config.seed,
        pad_to_max_length=config.options.pad_to_max_length,
        limit=config.options.max_train_samples,
        pack_documents=config.pack_documents,
        data_seed=config.training_arguments.get("data_seed"),
        documents=numbers_documents(store, config.documents),
        **config.masks,
    )


def _phases(
    config: TrainConfig, recipe: Recipe, data: Any
) -> tuple[PhasedBlocks, BlockStore | dict[str, BlockStore] | None]:
    """Make the data set of a training in phases, and choose the blocks to measure on."""
    given = config.training_arguments
    source, measured = None, None
    if data is not None:
        source, measured = _choose_stores(data, config.eval_data, given | {"eval_strategy": None})
    mixtures = open_mixtures(recipe, source)
    if config.eval_data is None:
        measured = measured_blocks(mixtures, measured)
    elif source is None:
        measured = open_evaluation_stores(config.eval_data)
    where = mixtures[-1].joined.path
    return phased_blocks(config, mixtures), _wanted(measured, given, where)


def _choose_stores(
    data: str | Path | BlockStore | Mixture | dict[str, BlockStore],
    eval_data: str | Path | BlockStore | NamedStores | None,
    given: dict[str, Any],
) -> tuple[BlockStore | Mixture, BlockStore | dict[str, BlockStore] | None]:
    """Choose the blocks to train on, and those to measure on; None if nothing is measured.

    A mixture is measured on the test splits of all stores that have one.

    Raises:
        InputError: a store is empty, or `given` asks for an evaluation that has no blocks.
    """
    train: BlockStore | Mixture
    measured: BlockStore | dict[str, BlockStore] | None
    if isinstance(data, Mixture):
        train, measured = data, data.tests or None
    elif isinstance(data, BlockStore):
        train, measured = data, None
    else:
        splits = data if isinstance(data, dict) else open_splits(data)
        train, measured = splits["train"], splits.get("test")
    if eval_data is not None:
        measured = open_evaluation_stores(eval_data)
    where = train.joined.path if isinstance(train, Mixture) else train.path
    measured = _wanted(measured, given, where)
    for store in (train, measured):
        if isinstance(store, BlockStore) and not len(store):
            raise InputError(f"The block store {store.path} is empty.")
    return train, measured


def _wanted(
    measured: BlockStore | dict[str, BlockStore] | None, given: dict[str, Any], where: Path
) -> BlockStore | dict[str, BlockStore] | None:
    """Return the blocks to measure on, None if the arguments want no evaluation.

    Raises:
        InputError: `given` asks for an evaluation that has no blocks.
    """
    strategy = given.get("eval_strategy")
    if str(strategy) == "no":
        return None
    if strategy is not None and measured is None:
        raise InputError(
            f"eval_strategy is {strategy!r}, but {where} has no test split: prepare it "
            "with --test-size, or give eval_data."
        )
    return measured


def _check_stores(
    stores: Sequence[BlockStore | None], processes: Processes, *, verify: bool, progress: bool
) -> None:
    """Raise StoreError unless all processes opened the same blocks.

    Args:
        stores: the stores that this process opened.
        processes: the processes that train together.
        verify: read every byte first, in one process on each machine.
        progress: show a bar on stderr.
    """
    opened = [store for store in stores if store is not None]
    if verify and int(os.environ.get("LOCAL_RANK", "0")) == 0:
        for store in opened:
            store.verify(progress=progress)
    mine = [store.fingerprint for store in opened]
    if mine != processes.run_on_rank0(lambda: mine):
        raise StoreError(
            f"Process {processes.rank} found other blocks in {opened[0].path} than the first "
            "process: every machine needs the same store, and nothing may replace it."
        )
