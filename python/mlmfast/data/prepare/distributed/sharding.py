"""The prefix sum: which stretches of the shares make which shard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from mlmfast.data.arrow_numpy import arrow_numbers, numpy_numbers
from mlmfast.data.prepare.distributed.job import Job, whole_file
from mlmfast.data.prepare.distributed.tokenize import read_batches
from mlmfast.data.prepare.split import is_test_document
from mlmfast.data.prepare.split_writer import group_options
from mlmfast.data.store.writer import WrittenShard, write_shard
from mlmfast.data.tokenization.load import id_dtype


@dataclass(frozen=True)
class ShardSlice:
    """A part of a share."""

    share: int
    start: int
    """First token with packing="concat", first document with "best_fit"; and"""
    stop: int
    """behind the last."""


@dataclass(frozen=True)
class ShardPlan:
    """What one file of the store is made of."""

    stretches: tuple[ShardSlice, ...]
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
            plans.add(ShardSlice(share, start, stop))
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
            plans.add(ShardSlice(share, start, stop))
            plans.end(full=True)
            start, before, held = stop, int(ends[stop - 1]), 0
        if start < documents[share]:
            plans.add(ShardSlice(share, start, documents[share]))
            held += count - before
    plans.end(full=False)
    return plans.done


class _Plans:
    def __init__(self) -> None:
        self.done: list[ShardPlan] = []
        self._held: list[ShardSlice] = []

    def add(self, stretch: ShardSlice) -> None:
        self._held.append(stretch)

    def end(self, *, full: bool) -> None:
        if self._held:
            self.done.append(ShardPlan(tuple(self._held), full))
        self._held = []


@dataclass(frozen=True)
class UnitSplit:
    """The documents of one unit that go to one split."""

    file: str
    first: int
    """Number of the unit's first document among all."""
    split: str
    """"train" or "test"."""


@dataclass(frozen=True)
class Sizes:
    """How much there is."""

    documents: int
    tokens: int
    text_bytes: int


def share_lists(job: Job, share: UnitSplit) -> Iterator[tuple[pa.LargeListArray, int]]:
    """Yield (token lists, bytes of their text) of a share, in order."""
    size, seed = job.options.test_size, job.options.seed
    for batch in read_batches(job.tokens / share.file):
        numbers, sizes, lists = (batch.column(at) for at in range(3))
        if size is None:
            yield lists, int(numpy_numbers(sizes).sum())
            continue
        of_all = numpy_numbers(numbers) + np.uint64(share.first)
        wanted = is_test_document(of_all, test_size=size, seed=seed) == (share.split == "test")
        rows = np.flatnonzero(wanted)
        if len(rows):
            yield lists.take(arrow_numbers(rows)), int(numpy_numbers(sizes)[rows].sum())


def share_sizes(job: Job, shares: tuple[UnitSplit, ...]) -> tuple[Sizes, ...]:
    """Count what the shares of a unit hold."""
    job.check_here()
    return tuple(_sizes(job, share) for share in shares)


def document_ends(job: Job, share: UnitSplit) -> np.ndarray:
    """Tokens up to the end of each of the share's documents, int64 [documents]."""
    lengths = [np.diff(numpy_numbers(lists.offsets)) for lists, _ in share_lists(job, share)]
    return np.cumsum(np.concatenate(lengths) if lengths else np.zeros(0, np.int64))


def _sizes(job: Job, share: UnitSplit) -> Sizes:
    documents = tokens = text_bytes = 0
    for lists, size in share_lists(job, share):
        documents += len(lists)
        tokens += lists.offsets[-1].as_py() - lists.offsets[0].as_py()
        text_bytes += size
    return Sizes(documents, tokens, text_bytes)


def write_part(
    job: Job, file: str, parts: tuple[tuple[UnitSplit, int, int], ...], full: bool
) -> WrittenShard:
    """Write one shard.

    Args:
        job: The run.
        file: The shard's file, below the job's output.
        parts: (share, start, stop) as `ShardPlan` has them.
        full: Whether there are more behind it.
    """
    job.check_here()
    options = group_options(job.tokenizer, job.options)
    if full:
        options = replace(options, remainder="drop")
    cut = _tokens if options.packing == "concat" else _documents
    kind = pa.large_list(pa.from_numpy_dtype(id_dtype(job.tokenizer.id_bound)))
    lists = [
        part
        for share, start, stop in parts
        for part in cut((lists for lists, _ in share_lists(job, share)), start, stop)
    ]
    with whole_file(job.output / file, job.tokens) as new:
        return write_shard(new, pa.chunked_array(lists, kind), options, threads=job.threads)


def _documents(
    batches: Iterator[pa.LargeListArray], start: int, stop: int
) -> Iterator[pa.LargeListArray]:
    """Yield documents `start` to `stop` of all batches."""
    before = 0
    for lists in batches:
        first, last = max(start - before, 0), min(stop - before, len(lists))
        if first < last:
            yield lists.slice(first, last - first)
        before += len(lists)


def _tokens(
    batches: Iterator[pa.LargeListArray], start: int, stop: int
) -> Iterator[pa.LargeListArray]:
    """Yield tokens `start` to `stop` of all batches, as one list a batch."""
    before = 0
    for lists in batches:
        ids = lists.flatten()
        first, last = max(start - before, 0), min(stop - before, len(ids))
        if first < last:
            offsets = pa.array([0, last - first], pa.int64())
            yield pa.LargeListArray.from_arrays(offsets, ids.slice(first, last - first))
        before += len(ids)
