"""A mixture for a part of a training that reads others before: `MixturePart`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.data.loading.mixture.mixture import Mixture
from mlmfast.data.loading.mixture.order import MixtureOrder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class PartOrder(MixtureOrder):
    """The order of blocks `begin` to `begin + count - 1` of a training, in its only epoch.

    The blocks of a source follow those that parts before have drawn of it. A part with the shares
    of the one before goes on where that one ends: both together are one mixture.

    Attributes:
        numbers: which source of the training each is, for its seed.
        begin: number of the first block.
        count: number of the blocks.
        drawn: blocks of each source that came before.
    """

    numbers: tuple[int, ...]
    begin: int
    count: int
    drawn: tuple[int, ...]

    def __len__(self) -> int:
        return self.begin + self.count

    def draws_before(self, block: int) -> NDArray[np.int64]:
        """Count the blocks of each source before a block of the part, int64 `[S]`."""
        return self._read(block)

    def _read(self, count: int) -> NDArray[np.int64]:
        return self._base + super()._read(count)

    @cached_property
    def _base(self) -> NDArray[np.int64]:
        return np.array(self.drawn, np.int64) - super()._read(self.begin)

    def _number(self, source: int) -> int:
        return self.numbers[source]


class MixturePart(Mixture):
    """The mixture of blocks `begin` to `begin + count - 1` of a training.

    Items are numbered from the beginning of the training on, in one epoch.

    Args:
        mixture: The stores and their shares.
        numbers: Which source of the training each store is, counted from 0.
        begin: Number of the first block.
        count: Number of the blocks.
        drawn: Blocks of each store that came before.
    """

    def __init__(
        self,
        mixture: Mixture,
        *,
        numbers: Sequence[int],
        begin: int,
        count: int,
        drawn: Sequence[int],
    ) -> None:
        named = dict(zip(mixture.names, mixture.stores, strict=True))
        super().__init__(named, mixture.probabilities)
        self._numbers = tuple(numbers)
        self._part: dict[str, Any] = {"begin": begin, "count": count, "drawn": tuple(drawn)}

    @property
    def numbers(self) -> tuple[int, ...]:
        """Which source of the training each store is."""
        return self._numbers

    def order(self, seed: int) -> PartOrder:
        """Return which blocks come when.

        Args:
            seed: Seed of the order, 0 to 2^64 - 1.
        """
        sizes = tuple(map(len, self.stores))
        return PartOrder(sizes, self._slots, seed, numbers=self._numbers, **self._part)
