"""How well a model fills masks: perplexity, accuracy, bits per byte, on masks that never change."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.errors import InputError
from mlmfast.training.evaluation.evaluator import Evaluator, evaluating
from mlmfast.training.evaluation.metrics import Evaluation, MaskSeries, summarize_counts
from mlmfast.training.evaluation.pseudo_perplexity import check_pseudo, pseudo_perplexity_of
from mlmfast.training.model.load import check_fits, load_model

if TYPE_CHECKING:
    from pathlib import Path


def evaluate(
    model: str | Path | torch.nn.Module,
    data: str | Path | BlockStore,
    *,
    batch_size: int = 32,
    mlm_probability: float = 0.15,
    seed: int = 0,
    eval_seeds: int = 1,
    max_eval_samples: int | None = None,
    pseudo_perplexity: int | None = None,
    pseudo_method: str = "word_l2r",
    device: str | None = None,
    precision: str = "fp32",
    verify_store: bool = False,
    progress: bool = False,
) -> Evaluation:
    """Measure a masked language model on a block store.

    The masks are a function of the seed and the block alone, and the loss is summed and divided by
    the number of masked tokens: the result is the same for any batch size and number of threads, up
    to the last digits of floating point.

    Args:
        model: a checkpoint folder, a Hub name, or a model.
        data: a block store, or its folder; of a folder with splits, `test` is taken.
        batch_size: blocks at a time.
        mlm_probability: share of the ordinary tokens that are masked.
        seed: key of the masks.
        eval_seeds: measure under so many independent masks, with the keys `seed`, `seed + 1` ...,
            and give means with standard errors.
        max_eval_samples: take the first so many blocks only.
        pseudo_perplexity: mask each token of so many blocks in turn, too; it takes one pass of the
            model for each token.
        pseudo_method: `word_l2r` masks the rest of the token's word with it (Kauf & Ivanova 2023),
            `original` the token alone (Salazar et al. 2020).
        device: a torch device; None takes the GPU if there is one.
        precision: `fp32`, `bf16` or `auto`; see `choose_precision`.
        verify_store: read every byte of the store before, and compare it with what was written.
        progress: show a bar on stderr (if it is a terminal).

    Raises:
        NotFoundError: no such model or store.
        StoreError: the store is damaged.
        InputError: the model is too small for the store's vocabulary or block size, or no token is
            masked.
    """
    masks = MaskSeries(mlm_probability, seed, eval_seeds, max_eval_samples)
    check_evaluation(batch_size, masks)
    check_pseudo(pseudo_perplexity, pseudo_method)
    store = open_evaluation_store(data, verify=verify_store, progress=progress)
    network = model if isinstance(model, torch.nn.Module) else load_model(model)
    check_fits(network, store)
    started = time.perf_counter()
    with evaluating(network, device, precision) as measured:
        counts = counts_of(measured, store, masks, batch_size, progress=progress)
        pseudo = (
            None
            if pseudo_perplexity is None
            else pseudo_perplexity_of(
                measured,
                store,
                pseudo_perplexity,
                of=len(masks.of(store)[0]),
                method=pseudo_method,
                seed=seed,
                batch_size=batch_size,
                progress=progress,
            )
        )
    found = summarize_counts(counts, store, masks, measured.precision)
    return replace(found, pseudo_perplexity=pseudo, seconds=time.perf_counter() - started)


def check_evaluation(batch_size: int, masks: MaskSeries) -> None:
    """Raise InputError for numbers that cannot be."""
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; expected at least 1.")
    if masks.count < 1:
        raise InputError(f"eval_seeds is {masks.count}; expected at least 1.")
    if masks.limit is not None and masks.limit < 1:
        raise InputError(f"max_eval_samples is {masks.limit}; expected at least 1.")


def counts_of(
    measured: Evaluator, store: BlockStore, masks: MaskSeries, batch_size: int, *, progress: bool
) -> np.ndarray:
    """Count for each of S masks and N blocks what figures are made of.

    Returns:
        float64 `[S, N, 4]`: summed loss in nats, hits of the best answer, hits among the best five,
        masked tokens.
    """
    series = masks.of(store)
    total = sum(map(len, series))
    with tqdm(
        total=total, unit="block", desc="evaluate", disable=None if progress else True
    ) as bar:
        return np.stack([measured.block_counts(blocks, batch_size, bar) for blocks in series])


def open_evaluation_store(
    data: str | Path | BlockStore, *, verify: bool = False, progress: bool = False
) -> BlockStore:
    """Open a store, or the `test` split of a folder with splits; `verify` reads every byte."""
    if isinstance(data, BlockStore):
        store = data
    else:
        splits = open_splits(data)
        store = splits.get("test") or splits["train"]
    if verify:
        store.verify(progress=progress)
    return store
