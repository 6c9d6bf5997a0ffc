"""Pseudo-perplexity: each token of some blocks masked in turn and predicted from the others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from mlmfast import _core
from mlmfast.data.tokenization.word_boundaries import word_ends, word_starts
from mlmfast.errors import InputError
from mlmfast.training.evaluation.statistics import ratio_estimate
from mlmfast.training.model.masked_rows import IGNORED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmfast.data.store.store import BlockStore
    from mlmfast.training.evaluation.evaluator import Evaluator

_METHODS = ("word_l2r", "original")


@dataclass(frozen=True)
class PseudoPerplexity:
    """The probability of the tokens of a text, each given all others.

    Attributes:
        perplexity: exp of the loss.
        loss: minus the mean pseudo-log-likelihood of a token, in nats.
        standard_error: standard error of the loss, with the blocks as independent samples; None for
            one block.
        method: `word_l2r` (Kauf & Ivanova 2023, "A Better Way to Do Masked Language Model
            Scoring") masks the later tokens of the same word, too, which would give it away;
            `original` (Salazar et al. 2020, "Masked Language Model Scoring") masks one token.
        tokens: number of scored tokens.
        blocks: number of blocks, sampled with the seed.
    """

    perplexity: float
    loss: float
    standard_error: float | None
    method: str
    tokens: int
    blocks: int

    def __str__(self) -> str:
        error = self.standard_error
        shown = "" if error is None else f" \u00b1 {self.perplexity * error:,.2f}"
        return (
            f"pseudo-perplexity {self.perplexity:,.2f}{shown} ({self.method}, all {self.tokens:,} "
            f"tokens of {self.blocks:,} blocks)"
        )


def check_pseudo(blocks: int | None, method: str) -> None:
    """Raise InputError for an invalid number of blocks or an unknown method."""
    if blocks is not None and blocks < 1:
        raise InputError(f"pseudo_perplexity is {blocks}; expected a number of blocks from 1 on.")
    if method not in _METHODS:
        raise InputError(f"pseudo_method is {method!r}; expected one of {', '.join(_METHODS)}.")


def pseudo_perplexity_of(
    evaluator: Evaluator,
    store: BlockStore,
    blocks: int,
    *,
    of: int,
    method: str,
    seed: int,
    batch_size: int,
    progress: bool,
    separate: bool = False,
) -> PseudoPerplexity:
    """Score every ordinary token of some blocks.

    Args:
        evaluator: the model.
        store: the blocks, `[N, L]`; each token of a block takes one forward pass.
        blocks: number of blocks to sample; a smaller store is scored as a whole.
        of: sample from the first `of` blocks of the store.
        method: one of `_METHODS`.
        seed: seed of the sample.
        batch_size: masked copies per batch.
        progress: show a bar on stderr (if it is a terminal).
        separate: score each document of a block alone.

    Raises:
        InputError: the vocabulary does not mark where words begin, or there is no token to score.
    """
    manifest = store.manifest
    starts = np.ones(manifest.vocab_size, dtype=np.bool_)
    if method == "word_l2r":
        starts = word_starts(store.tokenizer.tokenizer, manifest.vocab_size)
    count = min(blocks, of)
    sample = np.sort(_core.permutation(of, 0, count, seed=seed, epoch=0)).astype(np.int64)
    special_ids = np.array([*manifest.special_ids, manifest.mask_token_id])
    sums = np.zeros((count, 2))
    bar = tqdm(total=count, unit="block", desc="pseudo", disable=None if progress else True)
    with bar:
        for row, block in enumerate(sample):
            for ids, attended in _texts(store, block, separate=separate):
                masked, positions = mask_in_turn(
                    ids, ~np.isin(ids, special_ids), starts, manifest.mask_token_id
                )
                for first in range(0, len(masked), batch_size):
                    part = slice(first, first + batch_size)
                    inputs = {"input_ids": torch.from_numpy(masked[part])}
                    if attended is not None:
                        attention = np.broadcast_to(attended, masked[part].shape).astype(np.int64)
                        inputs["attention_mask"] = torch.from_numpy(attention)
                    labels = torch.full(inputs["input_ids"].shape, IGNORED)
                    at = torch.from_numpy(positions[part])
                    labels[torch.arange(len(at)), at] = torch.from_numpy(ids)[at]
                    losses = evaluator.row_counts(inputs, labels)[:, 0]
                    sums[row] += losses.cpu().double().sum().item(), len(at)
            bar.update()
    if not sums[:, 1].any():
        raise InputError(
            f"The {count} sampled blocks of {store.path} hold special tokens only: there is "
            "nothing to score. Take more blocks."
        )
    loss, error = ratio_estimate(sums[:, 0], sums[:, 1])
    return PseudoPerplexity(
        perplexity=math.exp(loss) if loss < 700 else math.inf,
        loss=loss,
        standard_error=None if math.isnan(error) else error,
        method=method,
        tokens=int(sums[:, 1].sum()),
        blocks=count,
    )


def _texts(
    store: BlockStore, block: int, *, separate: bool
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yield the ids of a block, or of each of its documents, without padding at the end.

    Yields:
        int64 `[l]`, and which are not padding, bool `[l]`; None if nothing is.
    """
    ids = store[block].astype(np.int64)
    if separate:
        numbers = store.document_ids(np.array([block], np.uint64))[0]
        for number in range(int(numbers.max()) + 1):
            yield ids[numbers == number], None
        return
    if not store.manifest.padding_tokens:
        yield ids, None
        return
    attended = ids != store.manifest.pad_token_id
    length = np.flatnonzero(attended).max(initial=0) + 1
    yield ids[:length], attended[:length]


def mask_in_turn(
    ids: np.ndarray, scored: np.ndarray, starts: np.ndarray, mask_id: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mask each token in turn, together with the later tokens of its word.

    Args:
        ids: int64 `[L]`.
        scored: bool `[L]`, the tokens to mask.
        starts: bool `[vocab_size]`, whether an id begins a word; all true masks single tokens.
        mask_id: the mask token.

    Returns:
        int64 `[n, L]`, the masked copies, and int64 `[n]`, the scored position of each.
    """
    positions = np.flatnonzero(scored)
    ends = word_ends(starts[ids], scored)[positions]
    places = np.arange(len(ids))
    masked = (places >= positions[:, None]) & (places < ends[:, None])
    return np.where(masked, mask_id, ids), positions
