"""The prefix sum: which stretches of the shares make which shard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Stretch:
    """A part of a share."""

    share: int
    start: int
    """First token with packing="concat", first document with "best_fit"; and"""
    stop: int
    """behind the last."""


@dataclass(frozen=True)
class ShardPlan:
    """What one file of the store is made of."""

    stretches: tuple[Stretch, ...]
    full: bool
    """False for what is left at the end."""


def plan_tokens(tokens: list[int], shard_tokens: int) -> list[ShardPlan]:
    """Cut the tokens of all shares into shards of exactly `shard_tokens`.

    Args:
        tokens: How many each share has.
        shard_tokens: A shard's.

    >>> [[(s.share, s.start, s.stop) for s in shard.stretches] for shard in plan_tokens([5, 4], 3)]
    [[(0, 0, 3)], [(0, 3, 5), (1, 0, 1)], [(1, 1, 4)]]
    """
    plans = _Plans()
    held = 0
    for share, count in enumerate(tokens):
        start = 0
        while start < count:
            stop = min(count, start + shard_tokens - held)
            plans.add(Stretch(share, start, stop))
            held, start = held + stop - start, stop
            if held == shard_tokens:
                plans.end(full=True)
                held = 0
    plans.end(full=False)
    return plans.done


def plan_documents(
    documents: list[int],
    tokens: list[int],
    ends_of: Callable[[int], np.ndarray],
    shard_tokens: int,
) -> list[ShardPlan]:
    """End a shard behind the document with which it has `shard_tokens` tokens or more.

    Args:
        documents: How many each share has.
        tokens: How many each share has.
        ends_of: Gives the tokens up to the end of each document of a share, int64 [documents];
            asked for those in which a shard ends.
        shard_tokens: What a shard has at least.
    """
    plans = _Plans()
    held = 0
    for share, count in enumerate(tokens):
        start, before = 0, 0
        while held + count - before >= shard_tokens:
            ends = ends_of(share)
            stop = int(np.searchsorted(ends, before + shard_tokens - held)) + 1
            plans.add(Stretch(share, start, stop))
            plans.end(full=True)
            start, before, held = stop, int(ends[stop - 1]), 0
        if start < documents[share]:
            plans.add(Stretch(share, start, documents[share]))
            held += count - before
    plans.end(full=False)
    return plans.done


class _Plans:
    def __init__(self) -> None:
        self.done: list[ShardPlan] = []
        self._held: list[Stretch] = []

    def add(self, stretch: Stretch) -> None:
        self._held.append(stretch)

    def end(self, *, full: bool) -> None:
        if self._held:
            self.done.append(ShardPlan(tuple(self._held), full))
        self._held = []
