"""Which block of which source an item is, as a pure function: `MixtureOrder` and `InOrder`."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from mlmfast.data.loading.mixture.shares import PERIOD
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_GOLDEN = 0x9E37_79B9_7F4A_7C15
_64_BITS = (1 << 64) - 1
# Which value of the key `seed` keys the slots; the sources have the first ones.
_SLOTS = 1 << 32
# As many blocks as an int64 can count.
_LAST = 1 << 63
# Between two slots of which is noted what comes before them.
_STRIDE = 256


class Run(NamedTuple):
    """Blocks of one source, read in one of its epochs."""

    source: int
    epoch: int
    blocks: NDArray[np.uint64]


class Order(Protocol):
    """Says which blocks of which sources items are."""

    def __len__(self) -> int:
        """Number of items in an epoch."""

    def runs(self, items: NDArray[np.uint64], epoch: int) -> list[Run]:
        """Return the blocks of items of an epoch, grouped by source and by the source's epoch."""


def source_seed(seed: int, source: int) -> int:
    """Return the seed of a source's order or masks; that of the first one is the mixture's own."""
    return seed if source == 0 else _value(seed, source - 1)


def _value(key: int, number: int) -> int:
    """Return a value of a key: `at(key, number)` of docs/masks.md."""
    z = (key + (number + 1) * _GOLDEN) & _64_BITS
    z = ((z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9) & _64_BITS
    z = ((z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB) & _64_BITS
    return z ^ (z >> 31)


@dataclass(frozen=True)
class MixtureOrder:
    """The order of a mixture: item i of epoch e is its block number `e * len + i`.

    Every period of `PERIOD` blocks has `slots[s]` of source s, at places that a permutation keyed
    by the period chooses. The blocks of a source follow its own order, epoch after epoch, in which
    each comes once before any comes again. Memory does not grow with the stores, and no item needs
    those before it. An epoch of the mixture has as many blocks as all stores together.

    Attributes:
        sizes: Blocks of each source.
        slots: Slots of each source in a period.
        seed: Seed of the order.
    """

    sizes: tuple[int, ...]
    slots: tuple[int, ...]
    seed: int

    def __len__(self) -> int:
        return sum(self.sizes)

    def runs(self, items: NDArray[np.uint64], epoch: int) -> list[Run]:
        """Return the blocks of items of an epoch, grouped by source and by the source's epoch.

        Items that do not follow each other are grouped by stretches of those that do.

        Raises:
            IndexError: There is no such item.
            InputError: So many blocks cannot be counted.
        """
        before = epoch * len(self)
        if before + len(self) > _LAST:
            raise InputError(f"epoch {epoch} of a mixture of {len(self)} blocks is out of range")
        return [
            run
            for first, last in _stretches(items, len(self))
            for run in self._runs(before + first, before + last)
        ]

    def read(self, first: int, last: int) -> NDArray[np.int64]:
        """Count the blocks of each source among the mixture's blocks `first` to `last - 1`."""
        return self._read(last) - self._read(first)

    def _read(self, count: int) -> NDArray[np.int64]:
        periods, rest = divmod(count, PERIOD)
        return _Period.of(self.slots, self.seed, periods).before(rest) + periods * np.array(
            self.slots, np.int64
        )

    def _number(self, source: int) -> int:
        """Return the number that a source has in its seed."""
        return source

    def _runs(self, first: int, last: int) -> Iterator[Run]:
        """Yield what the mixture's blocks `first` to `last - 1` are."""
        from mlmfast import _core

        draws, ends = self._read(first), self._read(last)
        for source in np.flatnonzero(draws < ends).tolist():
            draw, end = int(draws[source]), int(ends[source])
            seed = source_seed(self.seed, self._number(source))
            size = self.sizes[source]
            while draw < end:
                epoch, place = divmod(draw, size)
                stop = min(place + end - draw, size)
                blocks = _core.permutation(size, place, stop, seed=seed, epoch=epoch)
                yield Run(source, epoch, blocks)
                draw += stop - place


@dataclass(frozen=True)
class InOrder:
    """The first blocks of each source, one source after the other; all epochs are the same.

    Attributes:
        sizes: Blocks of each source.
    """

    sizes: tuple[int, ...]

    def __len__(self) -> int:
        return sum(self.sizes)

    def sources_of(self, items: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the source of each item."""
        return np.searchsorted(np.cumsum(self.sizes), items, side="right")

    def runs(self, items: NDArray[np.uint64], epoch: int) -> list[Run]:
        """Return the blocks of items, grouped by source.

        Raises:
            IndexError: There is no such item.
        """
        ends = np.cumsum(self.sizes).tolist()
        begins = [0, *ends]
        return [
            Run(source, epoch, np.arange(low - begin, high - begin, dtype=np.uint64))
            for first, last in _stretches(items, len(self))
            for source, (begin, end) in enumerate(zip(begins, ends, strict=False))
            if (low := max(first, begin)) < (high := min(last, end))
        ]


class _Period:
    """Which source has each slot of a period.

    Args:
        slots: Slots of each source.
        seed: Seed of the order.
        period: Number of the period.
    """

    def __init__(self, slots: tuple[int, ...], seed: int, period: int) -> None:
        from mlmfast import _core

        places = _core.permutation(PERIOD, 0, PERIOD, seed=_value(seed, _SLOTS), epoch=period)
        self._source = np.repeat(np.arange(len(slots)), slots).astype(np.uint16)[places]
        # How many slots of each source come before every 256th one.
        rows = np.arange(PERIOD) // _STRIDE
        flat = np.bincount(
            rows * len(slots) + self._source, minlength=PERIOD // _STRIDE * len(slots)
        )
        counts = flat.reshape(-1, len(slots)).cumsum(0)
        self._before = np.vstack([np.zeros_like(counts[:1]), counts])

    @staticmethod
    @functools.lru_cache(maxsize=4)  # batches come in order, so that a period is soon over
    def of(slots: tuple[int, ...], seed: int, period: int) -> _Period:
        return _Period(slots, seed, period)

    def before(self, slot: int) -> NDArray[np.int64]:
        """Count the slots of each source before one, int64 `[S]`."""
        row = slot // _STRIDE
        counts = self._before[row]
        rest = self._source[row * _STRIDE : slot]
        return counts + np.bincount(rest, minlength=len(counts))


def _stretches(items: NDArray[np.uint64], count: int) -> Iterator[tuple[int, int]]:
    """Yield the stretches of items that follow each other: the first, and one past the last."""
    if not len(items):
        return
    if int(items.max()) >= count:
        raise IndexError(f"item {items.max()} of an epoch of {count} blocks")
    for each in np.split(items, np.flatnonzero(np.diff(items) != 1) + 1):
        yield int(each[0]), int(each[-1]) + 1
