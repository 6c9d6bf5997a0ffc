"""Which blocks the batches to come have, for stores that are read from afar: `Lookahead`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

# Enough to hide the latency of an object store behind batches of a few milliseconds.
_BATCHES = 16


class Lookahead:
    """Names the blocks of each batch once, some batches before it is made.

    The order of the blocks is a permutation that any place of is known at once, so that nothing is
    read in vain.

    Args:
        ids_of: Returns the blocks of a batch of the pass, uint64 `[B]`.
        stop: The number of batches.
    """

    def __init__(self, ids_of: Callable[[int], np.ndarray], stop: int) -> None:
        self._ids_of = ids_of
        self._stop = stop
        self._next = 0

    def reach(self, number: int, prefetch: Callable[[np.ndarray], None]) -> None:
        """Call `prefetch` for the batches after `number` that are near and were not named yet."""
        first = max(self._next, number + 1)
        last = min(number + 1 + _BATCHES, self._stop)
        self._next = max(self._next, last)
        for each in range(first, last):
            prefetch(self._ids_of(each))
