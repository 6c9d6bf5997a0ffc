"""Which documents or tokens of which units make up each shard, by prefix sums; and writing a shard.

Each unit of tokenized text is divided between the splits. `UnitSplit` is the part of a unit in one
split, `ShardSlice` a slice of it in one shard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from mlmfast.data.arrow_numpy import arrow_numbers, numpy_numbers
from mlmfast.data.prepare.distributed.duplicates import Dropped
from mlmfast.data.prepare.distributed.job import Job, atomic_file
from mlmfast.data.prepare.distributed.tokenize import read_batches
from mlmfast.data.prepare.split import HoldOut
from mlmfast.data.prepare.split_writer import group_options
from mlmfast.data.store.shard_file import WrittenShard, write_shard
from mlmfast.data.store.token_lists import count_tokens, cut
from mlmfast.data.tokenization.load import id_dtype


@dataclass(frozen=True)
class ShardSlice:
    """A slice of one unit's part of a split."""

    unit: int
    """Index of the unit."""
    start: int
    """The first token with packing="concat", the first document with "best_fit"."""
    stop: int
    """One past the last."""


@dataclass(frozen=True)
class ShardPlan:
    """The slices that make up one shard."""

    slices: tuple[ShardSlice, ...]
    full: bool
    """False for the rest at the end."""


def plan_tokens(tokens: list[int], shard_tokens: int) -> list[ShardPlan]:
    """Cut the tokens of all units into shards of exactly `shard_tokens`.

    Args:
        tokens: The number of tokens of each unit.
        shard_tokens: The number of tokens of a shard.

    >>> [[(s.unit, s.start, s.stop) for s in shard.slices] for shard in plan_tokens([5, 4], 3)]
    [[(0, 0, 3)], [(0, 3, 5), (1, 0, 1)], [(1, 1, 4)]]
    """
    plans = _Plans()
    held = 0
    for unit, count in enumerate(tokens):
        start = 0
        while start < count:
            stop = min(count, start + shard_tokens - held)
            plans.add(ShardSlice(unit, start, stop))
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
    """End each shard after the document with which it has at least `shard_tokens` tokens.

    Args:
        documents: The number of documents of each unit.
        tokens: The number of tokens of each unit.
        ends_of: Returns the number of tokens up to the end of each document of a unit,
            int64 [documents]; called for the units in which a shard ends.
        shard_tokens: The least number of tokens of a shard.
    """
    plans = _Plans()
    held = 0
    for unit, count in enumerate(tokens):
        start, before = 0, 0
        while held + count - before >= shard_tokens:
            ends = ends_of(unit)
            stop = int(np.searchsorted(ends, before + shard_tokens - held)) + 1
            plans.add(ShardSlice(unit, start, stop))
            plans.end(full=True)
            start, before, held = stop, int(ends[stop - 1]), 0
        if start < documents[unit]:
            plans.add(ShardSlice(unit, start, documents[unit]))
            held += count - before
    plans.end(full=False)
    return plans.done


class _Plans:
    def __init__(self) -> None:
        self.done: list[ShardPlan] = []
        self._held: list[ShardSlice] = []

    def add(self, part: ShardSlice) -> None:
        self._held.append(part)

    def end(self, *, full: bool) -> None:
        if self._held:
            self.done.append(ShardPlan(tuple(self._held), full))
        self._held = []


@dataclass(frozen=True)
class UnitSplit:
    """The documents of one unit that belong to one split."""

    file: str
    """The unit's file of tokens."""
    first: int
    """Number of the unit's first document in the whole input."""
    split: str
    """"train" or "test"."""
    hold_out: HoldOut | None
    """The rule by which the splits are divided; None without a test split."""
    dropped: Dropped | None = None
    """Its duplicates of other documents; None if all are kept."""


@dataclass(frozen=True)
class Sizes:
    """How many documents and tokens there are, and the bytes of their text."""

    documents: int
    tokens: int
    text_bytes: int


def kept_batches(job: Job, unit: UnitSplit) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a unit's file without its duplicates, in order."""
    dropped = None if unit.dropped is None else unit.dropped.numbers(job)
    for batch in read_batches(job.tokens / unit.file):
        if dropped is None or not len(dropped):
            yield batch
            continue
        numbers = numpy_numbers(batch.column("numbers"))
        # Both are ascending, and a large unit has many batches.
        first = np.searchsorted(dropped, numbers[0], side="left")
        stop = np.searchsorted(dropped, numbers[-1], side="right")
        again = np.isin(numbers, dropped[first:stop])
        yield batch.take(arrow_numbers(np.flatnonzero(~again))) if again.any() else batch


def read_token_lists(job: Job, part: UnitSplit) -> Iterator[tuple[pa.LargeListArray, int]]:
    """Yield (token lists, bytes of their text) of a unit's part of a split, in order."""
    by_groups = job.options.test_by is not None
    for batch in kept_batches(job, part):
        lists, sizes = batch.column("tokens"), numpy_numbers(batch.column("bytes"))
        if part.hold_out is None:
            yield lists, int(sizes.sum())
            continue
        numbers = numpy_numbers(batch.column("numbers"))
        groups = numpy_numbers(batch.column("groups")) if by_groups else None
        in_test = part.hold_out.is_test(numbers + np.uint64(part.first), groups)
        rows = np.flatnonzero(in_test == (part.split == "test"))
        if len(rows):
            yield lists.take(arrow_numbers(rows)), int(sizes[rows].sum())


def split_sizes(job: Job, parts: tuple[UnitSplit, ...]) -> tuple[Sizes, ...]:
    """Return the sizes of the parts of a unit."""
    job.check_here()
    return tuple(_sizes(job, part) for part in parts)


def document_ends(job: Job, part: UnitSplit) -> np.ndarray:
    """Return the number of tokens up to the end of each document, int64 [documents]."""
    lengths = [np.diff(numpy_numbers(lists.offsets)) for lists, _ in read_token_lists(job, part)]
    return np.cumsum(np.concatenate(lengths) if lengths else np.zeros(0, np.int64))


def _sizes(job: Job, part: UnitSplit) -> Sizes:
    documents = tokens = text_bytes = 0
    for lists, size in read_token_lists(job, part):
        documents += len(lists)
        tokens += count_tokens(lists)
        text_bytes += size
    return Sizes(documents, tokens, text_bytes)


def write_part(
    job: Job, file: str, parts: tuple[tuple[UnitSplit, int, int], ...], full: bool
) -> WrittenShard:
    """Write one shard.

    Args:
        job: The run.
        file: The shard's file, relative to the job's output.
        parts: (unit's part of the split, start, stop) as in `ShardPlan`.
        full: Whether another shard follows.
    """
    job.check_here()
    options = group_options(job.tokenizer, job.options)
    if full:
        options = replace(options, remainder="drop")
    cut = _tokens if options.packing == "concat" else _documents
    kind = pa.large_list(pa.from_numpy_dtype(id_dtype(job.tokenizer.id_bound)))
    lists = [
        lists
        for part, start, stop in parts
        for lists in cut((lists for lists, _ in read_token_lists(job, part)), start, stop)
    ]
    with atomic_file(job.output / file, job.tokens) as new:
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
    """Yield tokens `start` to `stop` of all batches, in the lists of their documents."""
    before = 0
    for lists in batches:
        count = count_tokens(lists)
        first, last = max(start - before, 0), min(stop - before, count)
        if first < last:
            kept = lists if last == count else cut(lists, last)[0]
            yield kept if first == 0 else cut(kept, first)[1]
        before += count
