"""Evaluation of a masked language model: perplexity, accuracy and bits per byte on fixed masks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm import tqdm

from mlmfast.data.store.named import joined
from mlmfast.errors import InputError
from mlmfast.training.evaluation.evaluator import Evaluator, evaluating
from mlmfast.training.evaluation.metrics import Evaluation, MaskSeries, summarize_counts
from mlmfast.training.evaluation.pseudo_perplexity import check_pseudo, pseudo_perplexity_of
from mlmfast.training.evaluation.raw_text import check_text_options, evaluation_data
from mlmfast.training.model.documents.mode import check_document_mode, numbers_documents
from mlmfast.training.model.load import check_fits, load_model

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.data.store.store import BlockStore


def evaluate(
    model: str | Path | torch.nn.Module,
    data: Any,
    *,
    batch_size: int = 32,
    mlm_probability: float = 0.15,
    seed: int = 0,
    eval_seeds: int = 1,
    max_eval_samples: int | None = None,
    pseudo_perplexity: int | None = None,
    pseudo_method: str = "word_l2r",
    documents: str | None = None,
    device: str | None = None,
    precision: str = "fp32",
    verify_store: bool = False,
    progress: bool = False,
    **text: Any,
) -> Evaluation:
    """Evaluate a masked language model on a block store, or on raw text.

    The masks are a function of seed and block only, and the loss is the sum over all masked tokens
    divided by their number: the result is the same for any batch size and number of threads, up to
    floating-point rounding.

    Args:
        model: a checkpoint folder, a Hub name, or a model.
        data: a block store, or its folder; for a folder with splits, the split `test`. Or raw text,
            as `mlmfast.prepare` takes it: a file of any of its formats, a pattern, a list of these,
            a column, a table or a data set. Or a dict of several by name: the result is that of all
            blocks, and its `sources` are those of each.
        batch_size: blocks per batch.
        mlm_probability: share of the ordinary tokens that are masked.
        seed: key of the masks.
        eval_seeds: number of independent masks, with the keys `seed`, `seed + 1` ...; with several,
            the result has means with standard errors.
        max_eval_samples: evaluate on the first N blocks only, of each store.
        pseudo_perplexity: also mask each token of N blocks in turn, one forward pass per token.
        pseudo_method: `word_l2r` masks the rest of the token's word with it (Kauf & Ivanova 2023),
            `original` only the token (Salazar et al. 2020).
        documents: `separate` keeps attention inside each document of a block, `joined` lets it
            cross documents; None keeps documents apart if the store says where they begin and the
            model proves that it gives the logits of each document alone. The result says which.
        device: a torch device; None takes the GPU if there is one.
        precision: `fp32`, `bf16` or `auto`; see `choose_precision`.
        verify_store: first compare every byte of the store with its checksums.
        progress: show a bar on stderr (if it is a terminal).
        text: how raw text becomes blocks; they are those of `prepare` with the same options, and
            vanish afterwards. `tokenizer` is the model's unless it is given. `block_size`,
            `special_tokens`, `packing`, `kmer` and `kmer_stride` are those of the blocks that the
            model was trained on, where `train` recorded them in its folder, and of a store that is
            given beside the text; otherwise a block has as many tokens as tokenizer and model take,
            at most 1024. `text_column`, `format`, `split`, `csv_delimiter`, `csv_quoting`,
            `json_field`, `fasta_case`, `fasta_chunk`, `on_invalid_utf8`, `remainder`, `drop_empty`
            and `threads` are as in `prepare`.

    Raises:
        NotFoundError: no such model, store or text.
        StoreError: the store is damaged.
        InputError: the model is too small for the vocabulary or the block size of the store, a text
            cannot be used or is less than one block, or no token is masked.
    """
    given = check_text_options("evaluate", text)
    mode = check_document_mode(documents)
    masks = MaskSeries(mlm_probability, seed, eval_seeds, max_eval_samples, mode)
    check_evaluation(batch_size, masks)
    check_pseudo(pseudo_perplexity, pseudo_method)
    if isinstance(data, Mapping) and pseudo_perplexity is not None:
        raise InputError(
            f"pseudo_perplexity is for one block store: leave out all but one of {', '.join(data)}."
        )
    with evaluation_data(data, model, given, progress=progress) as opened:
        stores = opened.stores
        store = joined(stores)
        if verify_store:
            store.verify(progress=progress)
        network = model if isinstance(model, torch.nn.Module) else load_model(model)
        check_fits(network, store, documents=numbers_documents(store, mode))
        started = time.perf_counter()
        with evaluating(network, device, precision, mode) as evaluator:
            counts = counts_of(evaluator, stores, masks, batch_size, progress=progress)
            pseudo = (
                None
                if pseudo_perplexity is None
                else pseudo_perplexity_of(
                    evaluator,
                    store,
                    pseudo_perplexity,
                    of=len(masks.of(store)[0]),
                    method=pseudo_method,
                    seed=seed,
                    batch_size=batch_size,
                    progress=progress,
                    separate=evaluator.documents == "separate",
                )
            )
        evaluation = summarize_counts(
            counts, stores, masks, evaluator.precision, evaluator.documents
        ).on_texts(opened.texts)
    return replace(evaluation, pseudo_perplexity=pseudo, seconds=time.perf_counter() - started)


def check_evaluation(batch_size: int, masks: MaskSeries) -> None:
    """Raise InputError for numbers below 1."""
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; expected at least 1.")
    if masks.count < 1:
        raise InputError(f"eval_seeds is {masks.count}; expected at least 1.")
    if masks.limit is not None and masks.limit < 1:
        raise InputError(f"max_eval_samples is {masks.limit}; expected at least 1.")


def counts_of(
    evaluator: Evaluator,
    store: BlockStore | Mapping[str, BlockStore],
    masks: MaskSeries,
    batch_size: int,
    *,
    progress: bool,
) -> np.ndarray:
    """Compute the sums behind the metrics for each of S masks and N blocks.

    Returns:
        float64 `[S, N, 4]`: summed loss in nats, top-1 hits, top-5 hits, masked tokens.
    """
    series = masks.of(store)
    total = sum(map(len, series))
    with tqdm(
        total=total, unit="block", desc="evaluate", disable=None if progress else True
    ) as bar:
        return np.stack([evaluator.block_counts(blocks, batch_size, bar) for blocks in series])
