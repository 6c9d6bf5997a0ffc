"""The blocks of a training: opened, or prepared from text, and compared between processes."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from mlmfast.data.loading.mixture.mixture import Mixture
from mlmfast.data.store.named import joined
from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.errors import InputError, StoreError
from mlmfast.training.datasets import EvaluationBlocks, MaskedBlocks
from mlmfast.training.evaluation.raw_text import EvaluationData
from mlmfast.training.model.documents.mode import numbers_documents
from mlmfast.training.phased_blocks import PhasedBlocks
from mlmfast.training.setup.hours import fitted_to_hours
from mlmfast.training.setup.measured import open_measured
from mlmfast.training.setup.phases import measured_blocks, open_mixtures, phased_blocks
from mlmfast.training.text_data import prepare_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlmfast.training.process.distributed import Processes
    from mlmfast.training.setup.config import TrainConfig
    from mlmfast.training.setup.hours import Measure


logger = logging.getLogger(__name__)


def build_datasets(
    config: TrainConfig, processes: Processes, measure: Measure
) -> tuple[TrainConfig, MaskedBlocks, EvaluationBlocks | None]:
    """Open the blocks to train on and to measure on, the same ones in all processes.

    Args:
        config: the options of the training.
        processes: the processes that train together.
        measure: see `fitted_to_hours`.

    Returns:
        The options, with a recipe that fits into `hours`; the training blocks; and the evaluation
        blocks, None if nothing is measured.

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
    source, tests = (None, None) if data is None else _open(data)
    train: MaskedBlocks
    recipe = config.recipe
    if recipe is None:
        assert source is not None  # noqa: S101 - `TrainConfig` has checked that there is one
        train, measured = _masked_blocks(config, source), tests
        where = train.store.path
    else:
        mixtures = open_mixtures(recipe, source)
        if config.hours is not None:
            fitted = fitted_to_hours(config, mixtures, source, processes, measure)
            config = replace(config, recipe=fitted)
        train = phased_blocks(config, mixtures)
        measured = measured_blocks(recipe, mixtures, tests)
        where = mixtures[-1].joined.path
    wanted = _wanted(config, train.store, measured, processes, where)
    eval_store = None if wanted is None else joined(wanted.stores)
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
    if eval_store is None or wanted is None:
        return config, train, None
    evaluated = EvaluationBlocks(
        wanted.stores,
        texts=wanted.texts,
        pad_to_max_length=config.options.pad_to_max_length,
        limit=config.options.max_eval_samples,
        documents=numbers_documents(eval_store, config.documents),
    )
    return config, train, evaluated


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


def _open(
    data: str | Path | BlockStore | Mixture | dict[str, BlockStore],
) -> tuple[BlockStore | Mixture, BlockStore | dict[str, BlockStore] | None]:
    """Open the blocks to train on, and their test splits; None without.

    A mixture is measured on the test splits of all stores that have one.

    Raises:
        InputError: the store is empty.
    """
    if isinstance(data, Mixture):
        return data, data.tests or None
    if isinstance(data, BlockStore):
        splits = {"train": data}
    else:
        splits = data if isinstance(data, dict) else open_splits(data)
    _check_filled(splits["train"])
    return splits["train"], splits.get("test")


def _check_filled(store: BlockStore) -> None:
    if not len(store):
        raise InputError(f"The block store {store.path} is empty.")


def _wanted(
    config: TrainConfig,
    trained: BlockStore,
    tests: BlockStore | dict[str, BlockStore] | None,
    processes: Processes,
    where: Path,
) -> EvaluationData | None:
    """Return the blocks to measure on: `eval_data`, or the test splits; None to measure nothing.

    Raises:
        InputError: the arguments ask for an evaluation that has no blocks, or these are none.
    """
    strategy = config.training_arguments.get("eval_strategy")
    if str(strategy) == "no":
        return None
    measured = None if tests is None else EvaluationData(tests)
    if config.eval_data is not None:
        measured = open_measured(config, trained, processes)
    if strategy is not None and measured is None:
        raise InputError(
            f"eval_strategy is {strategy!r}, but {where} has no test split: prepare it "
            "with --test-size, or give eval_data."
        )
    if measured is not None and isinstance(measured.stores, BlockStore):
        _check_filled(measured.stores)
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
