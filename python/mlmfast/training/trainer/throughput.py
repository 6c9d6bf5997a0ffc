"""Tokens per second and model FLOPs utilization of the training steps."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import TrainerCallback

from mlmfast.data.store.lengths import block_lengths
from mlmfast.training.trainer.flops import BlockFlops, Peak, count_block_flops, peak_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlmfast.training.datasets import MaskedBlocks
    from mlmfast.training.model.masked_head import MaskedHead

logger = logging.getLogger(__name__)

_SAMPLE = 256


def _context_length(blocks: MaskedBlocks) -> int:
    """Return how many tokens of its document a token attends to, in the mean of a sample."""
    if blocks.packing is not None:
        lengths = blocks.packing.lengths[:_SAMPLE].astype(np.int64)
    else:
        sample = np.arange(min(_SAMPLE, len(blocks.store)), dtype=np.uint64)
        numbers = blocks.store.document_ids(sample).astype(np.int64)
        rows = np.arange(len(numbers))[:, None] * numbers.shape[1]
        _, lengths = np.unique((rows + numbers)[numbers >= 0], return_counts=True)
    return max(round(float((lengths**2).sum() / lengths.sum())), 8)


class ThroughputCallback(TrainerCallback):
    """Measures the training steps, without the evaluations and checkpoints between them.

    Args:
        blocks: the training blocks.
        head: returns the head that runs the model in a step; None if its operations cannot be
            counted.
        forward_heads: returns the heads of frozen models that a step runs, too.

    Attributes:
        peak: peak of the device in the precision of the training; None before the training.
        block_flops: operations of one block; None before the first step, or if they cannot be
            counted.
    """

    def __init__(
        self,
        blocks: MaskedBlocks,
        head: Callable[[], MaskedHead] | None,
        forward_heads: Callable[[], list[MaskedHead]] = list,
    ) -> None:
        self._blocks = blocks
        self._head = head
        self._forward_heads = forward_heads
        manifest = blocks.store.manifest
        # Without padding; of a row, if documents are packed into rows.
        self._tokens_per_block = manifest.block_size * blocks.fill_rate
        ids = blocks.store[: min(_SAMPLE, len(blocks.store))]
        special = [*manifest.special_ids, manifest.mask_token_id, manifest.pad_token_id or 0]
        ordinary = float((~np.isin(ids, special)).sum())
        share = ordinary / max(1.0, float(block_lengths(blocks.store, len(ids)).sum()))
        self._ordinary_per_block = share * self._tokens_per_block
        self.block_flops: BlockFlops | None = None
        self._counted = False
        self.peak: Peak | None = None
        self._processes = 1
        self._first = self._epoch = 0.0
        self._before = self._seconds = 0.0
        self._rates = 0.0  # the sum of the mask rates of the steps
        self._steps = 0
        self._since: float | None = None

    def on_train_begin(self, args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """Determine the peak of the device."""
        self.block_flops, self._counted = None, False
        if self._head is not None:
            precision = "bf16" if args.bf16 else "fp16" if args.fp16 else "fp32"
            self.peak = peak_of(str(args.device), precision)
            logger.info("MFU is the share of %s", self.peak)
        self._processes = args.world_size * max(1, args.n_gpu)
        self._first = self._epoch = state.epoch or 0.0
        self._before = self._seconds = 0.0
        self._since = time.perf_counter()

    def on_step_end(self, _args: Any, state: Any, *_others: Any, **_kwargs: Any) -> None:
        """Add the time since the last step, with the wait for the batch."""
        self._rates += self._blocks.rate_at(state.global_step - 1)
        self._steps += 1
        now = time.perf_counter()
        if self._since is not None:
            self._seconds += now - self._since
        if self._head is not None and not self._counted:
            # After the first step, the head knows on which rows it runs.
            self._counted = True
            self.block_flops = self._count_all(self._head())
            now = time.perf_counter()
        self._since = now

    def _count_all(self, head: MaskedHead) -> BlockFlops | None:
        """Count the operations of a block in the model, and in those that run forward only."""
        total = self._count_flops(head)
        for each in self._forward_heads():
            counted = self._count_flops(each)
            if total is None or counted is None:
                return None
            total = BlockFlops(
                total.body + counted.body, total.head_per_mask + counted.head_per_mask
            )
        return total

    def _count_flops(self, head: MaskedHead) -> BlockFlops | None:
        """Count the operations of a block; attention inside documents counts as such."""
        manifest = self._blocks.store.manifest
        separate = self._blocks.documents and head.keeps_documents_apart
        length = _context_length(self._blocks) if separate else manifest.block_size
        counted = count_block_flops(head, length, manifest.vocab_size)
        if counted is None:
            return None
        return replace(counted, body=counted.body * manifest.block_size / length)

    def on_evaluate(self, *_args: Any, **_kwargs: Any) -> None:
        """Exclude the time since the last step."""
        self._since = time.perf_counter()

    def on_save(self, *_args: Any, **_kwargs: Any) -> None:
        """Exclude the time since the last step."""
        self._since = time.perf_counter()

    def since_last(self, epoch: float) -> dict[str, float]:
        """Return `tokens_per_second`, and `mfu` if known, since the last call.

        Args:
            epoch: the epoch of the Trainer, with its fraction.
        """
        tokens = self._blocks.tokens_read(self._epoch, epoch)
        seconds = self._seconds - self._before
        self._epoch, self._before = epoch, self._seconds
        return self._metrics(tokens, seconds)

    def since_start(self, epoch: float) -> dict[str, float]:
        """Return the same since the training started, or resumed."""
        return self._metrics(self._blocks.tokens_read(self._first, epoch), self._seconds)

    def _metrics(self, tokens: float, seconds: float) -> dict[str, float]:
        if tokens <= 0 or seconds <= 0:
            return {}
        rate = tokens / seconds
        # The mean mask rate of all steps so far: the head is a small part of the operations.
        share = self.mfu(rate, self._rates / self._steps)
        metrics = {"tokens_per_second": round(rate, 1)}
        return metrics if share is None else metrics | {"mfu": round(share, 4)}

    def mfu(self, tokens_per_second: float, mask_rate: float) -> float | None:
        """Return the model FLOPs utilization at a rate of tokens per second.

        As in Chowdhery et al. 2022 ("PaLM", appendix B); the operations that run on masked tokens
        only are counted at masked tokens only.
        """
        if self.block_flops is None or self.peak is None:
            return None
        masked = mask_rate * self._ordinary_per_block
        flops_per_second = (
            self.block_flops.of_block(masked) * tokens_per_second / self._tokens_per_block
        )
        return flops_per_second / (self.peak.flops * self._processes)
