"""How many blocks of each source of a mixture a training has read: `sources_read`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlmfast.training.phased_blocks import PhasedBlocks
    from mlmfast.training.trainer.step_batches import StepBatches


@dataclass(frozen=True)
class SourceRead:
    """What a training has read of a source of its mixture.

    Attributes:
        name: name of the source.
        path: folder of its store.
        probability: its share of the mixture; in a training in phases, of the blocks read.
        blocks: number of its blocks.
        read: how many blocks of it were read, with those that came again.
    """

    name: str
    path: str
    probability: float
    blocks: int
    read: int

    @property
    def epochs(self) -> float:
        """How often the source was read."""
        return self.read / self.blocks

    def __str__(self) -> str:
        return (
            f"{self.name} {self.probability:.1%}, {self.read:,} blocks "
            f"({self.epochs:.2f} epochs of {self.blocks:,})"
        )


def sources_read(batches: StepBatches, steps: int) -> tuple[SourceRead, ...]:
    """Count the blocks of each source in the first steps of a training; empty without a mixture."""
    mixture = batches.blocks.mixture
    if mixture is None:
        return ()
    order = mixture.order(batches.blocks.order_seed)
    counts = np.zeros(len(mixture.stores), np.int64)
    whole, rest = batches.items_before(steps)
    if batches.items_per_epoch == len(order):  # otherwise each epoch drops its last items
        counts += order.read(0, whole * len(order))
    else:
        for epoch in range(whole):
            first = epoch * len(order)
            counts += order.read(first, first + batches.items_per_epoch)
    counts += order.read(whole * len(order), whole * len(order) + rest)
    sources = zip(mixture.names, mixture.stores, mixture.probabilities, counts, strict=True)
    return tuple(
        SourceRead(name, str(store.path), share, len(store), int(count))
        for name, store, share, count in sources
    )


def phased_sources_read(blocks: PhasedBlocks, steps: int) -> tuple[SourceRead, ...]:
    """Count the blocks of each source in the first steps of a training in phases."""
    counts = np.zeros(len(blocks.sources), np.int64)
    read = blocks.phases.blocks_read(steps)
    for part, begin, count in zip(blocks.parts, blocks.phases.first_blocks, read, strict=False):
        mixture = part.mixture
        assert mixture is not None  # noqa: S101 - the blocks of a phase are always a mixture
        found = mixture.order(blocks.order_seed).read(begin, begin + count)
        counts[list(mixture.numbers)] += found
    total = max(int(counts.sum()), 1)
    sources = zip(blocks.source_names, blocks.sources, counts.tolist(), strict=True)
    return tuple(
        SourceRead(name, str(store.path), count / total, len(store), count)
        for name, store, count in sources
    )
