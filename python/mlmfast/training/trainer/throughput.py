"""Tokens a second and the share of the device's peak, over the steps alone."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import TrainerCallback

from mlmfast.training.trainer.flops import BlockFlops, Peak, count_work, peak_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlmfast.training.datasets import MaskedBlocks
    from mlmfast.training.model.masked_head import MaskedHead

logger = logging.getLogger(__name__)

_SAMPLE = 256
# Blocks read at a time.
_READ = 4096


def _fill_rate(blocks: MaskedBlocks) -> float:
    """The share of these blocks' tokens that is no padding."""
    manifest, count = blocks.store.manifest, len(blocks)
    if count == manifest.blocks or not manifest.padding_tokens:
        return manifest.fill_rate
    filled = sum(
        int((blocks.store[first : min(first + _READ, count)] != manifest.pad_token_id).sum())
        for first in range(0, count, _READ)
    )
    return filled / (count * manifest.block_size)


class ThroughputCallback(TrainerCallback):
    """Measures a training's steps; evaluations and checkpoints in between are left out.

    Attributes:
        peak: of the device in the training's precision; None before the training.
        work: operations of one block; None before the first step, and where they cannot be counted.

    Args:
        blocks: what is trained on.
        head: gives what runs the model in a step; None where its operations cannot be counted.
    """

    def __init__(self, blocks: MaskedBlocks, head: Callable[[], MaskedHead] | None) -> None:
        self._blocks = blocks
        self._head = head
        manifest = blocks.store.manifest
        # Padding is no work.
        self._tokens_of_block = manifest.block_size * _fill_rate(blocks)
        ids = blocks.store[: min(_SAMPLE, len(blocks))]
        unasked = [*manifest.special_ids, manifest.mask_token_id, manifest.pad_token_id or 0]
        self._ordinary_of_block = float((~np.isin(ids, unasked)).sum() / len(ids))
        self.work: BlockFlops | None = None
        self._counted = False
        self.peak: Peak | None = None
        self._processes = 1
        self._first = self._epoch = 0.0
        self._before = self._seconds = 0.0
        self._rates = 0.0  # the sum over the steps
        self._steps = 0
        self._since: float | None = None

    def on_train_begin(self, args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """Find the device's peak."""
        self.work, self._counted = None, False
        if self._head is not None:
            precision = "bf16" if args.bf16 else "fp16" if args.fp16 else "fp32"
            self.peak = peak_of(str(args.device), precision)
            logger.info("MFU is the share of %s", self.peak)
        self._processes = args.world_size * max(1, args.n_gpu)
        self._first = self._epoch = state.epoch or 0.0
        self._before = self._seconds = 0.0
        self._since = time.perf_counter()

    def on_step_end(self, _args: Any, state: Any, *_others: Any, **_kwargs: Any) -> None:
        """Take the time since the last step, the wait for the batch included."""
        self._rates += self._blocks.rate_at(state.global_step - 1)
        self._steps += 1
        now = time.perf_counter()
        if self._since is not None:
            self._seconds += now - self._since
        if self._head is not None and not self._counted:
            # Now the head knows on which rows it runs.
            self._counted = True
            manifest = self._blocks.store.manifest
            self.work = count_work(self._head(), manifest.block_size, manifest.vocab_size)
            now = time.perf_counter()
        self._since = now

    def on_evaluate(self, *_args: Any, **_kwargs: Any) -> None:
        """Leave out what came since the last step."""
        self._since = time.perf_counter()

    def on_save(self, *_args: Any, **_kwargs: Any) -> None:
        """Leave out what came since the last step."""
        self._since = time.perf_counter()

    def since_last(self, epoch: float) -> dict[str, float]:
        """Give `tokens_per_second`, and `mfu` where it is known, since this was last asked.

        Args:
            epoch: the Trainer's, with its fraction.
        """
        passed, seconds = epoch - self._epoch, self._seconds - self._before
        self._epoch, self._before = epoch, self._seconds
        return self._figures(passed, seconds)

    def whole(self, epoch: float) -> dict[str, float]:
        """Give the same since the training began, or was resumed."""
        return self._figures(epoch - self._first, self._seconds)

    def _figures(self, passed: float, seconds: float) -> dict[str, float]:
        if passed <= 0 or seconds <= 0:
            return {}
        rate = passed * len(self._blocks) * self._tokens_of_block / seconds
        # The mean of all steps so far; the head's share of the work hardly shows a changing rate.
        share = self.mfu(rate, self._rates / self._steps)
        found = {"tokens_per_second": round(rate, 1)}
        return found if share is None else found | {"mfu": round(share, 4)}

    def mfu(self, tokens_per_second: float, mask_rate: float) -> float | None:
        """Give the share of all devices' peak that so many tokens a second are.

        Model FLOPs utilization as of Chowdhery et al. 2022 ("PaLM", appendix B); what runs on
        masked tokens only is counted at these.
        """
        if self.work is None or self.peak is None:
            return None
        masked = mask_rate * self._ordinary_of_block
        needed = self.work.of_block(masked) * tokens_per_second / self._tokens_of_block
        return needed / (self.peak.flops * self._processes)
