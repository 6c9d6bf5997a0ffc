"""The third wave: the stretches of one shard become its file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa

from mlmfast.data.prepare.distributed._merge_data__distributed__share import Share, share_lists
from mlmfast.data.prepare.distributed.job import Job, whole_file
from mlmfast.data.prepare.split_writer import grouping
from mlmfast.data.store._merge_data__shard_file import Written, write_shard
from mlmfast.data.tokenization.load import id_dtype


def write_part(
    job: Job, file: str, parts: tuple[tuple[Share, int, int], ...], full: bool
) -> Written:
    """Write one shard.

    Args:
        job: The run.
        file: The shard's file, below the job's output.
        parts: (share, start, stop) as `ShardPlan` has them.
        full: Whether there are more behind it.
    """
    job.check_here()
    options = grouping(job.tokenizer, job.options)
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
