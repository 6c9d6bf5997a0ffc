"""The sums behind an evaluation, of all blocks and of each store: `Totals`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from mlmfast.training.datasets import EvaluationBlocks
from mlmfast.training.evaluation.metrics import summarize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch.utils.data import DataLoader

    from mlmfast.training.block_dataset import BlockDataset
    from mlmfast.training.evaluation.metrics import Evaluation


class Totals:
    """Adds up `per_block_metrics` batch by batch, for each store of several separately.

    Args:
        blocks: The blocks that are evaluated.
        loader: Yields their batches; its batch sampler says which blocks they hold.
    """

    def __init__(self, blocks: BlockDataset, loader: DataLoader) -> None:
        self._blocks = blocks
        self._parts = blocks.parts if isinstance(blocks, EvaluationBlocks) else {}
        self._sums = torch.zeros(max(len(self._parts), 1), 4, dtype=torch.float64)
        self._items: Iterator[Any] = iter(loader.batch_sampler or ()) if self._parts else iter(())

    def add(self, counts: torch.Tensor) -> None:
        """Add the counts of the next batch, `[B, 4]`."""
        counts = counts.double()
        if not self._parts:
            self._sums += counts.sum(0).cpu()
            return
        items = next(self._items)
        if len(items):  # a rank that has no block of a batch still runs one, without labels
            assert isinstance(self._blocks, EvaluationBlocks)  # noqa: S101 - it has parts
            parts = torch.from_numpy(self._blocks.part_of(items))
            self._sums.index_add_(0, parts, counts.cpu())

    def sum_over(self, reduce: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Replace the sums by what `reduce` makes of them: those of all processes."""
        self._sums = reduce(self._sums)

    def evaluation(self, **about: Any) -> Evaluation:
        """Return the evaluation of all blocks, with those of the stores if there are several.

        Args:
            about: The keywords of `summarize`.

        Raises:
            InputError: No token was masked.
        """
        texts = self._blocks.texts if isinstance(self._blocks, EvaluationBlocks) else {}
        whole = summarize(self._sums.sum(0), self._blocks, **about)
        if not self._parts:
            return whole.on_texts(texts)
        each = {
            name: summarize(sums, part, **about)
            for (name, part), sums in zip(self._parts.items(), self._sums, strict=True)
            if sums[-1]  # of a few blocks, all may be without a masked token
        }
        return replace(whole, sources=each).on_texts(texts)
