"""Shuffled documents in tasks: sorted by the keys of `ExternalShuffle`, so in the same order.

Each unit's token lists are written sorted by their keys. A bucket is a part of the range of keys: a
task takes its documents from all units and writes them in order. Buckets then are the units of
which shards are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mlmfast.data.arrow_numpy import arrow_numbers, numpy_numbers
from mlmfast.data.prepare.distributed.job import Job, atomic_file
from mlmfast.data.prepare.distributed.sharding import Sizes, UnitSplit, kept_batches
from mlmfast.data.prepare.shuffle import MOST_BUCKETS, order_keys
from mlmfast.data.store.token_lists import count_tokens

BUCKET_BYTES = 64 << 20
"""Size of a bucket's tokens to aim at; a task holds about three times that."""


@dataclass(frozen=True)
class Bucket:
    """The documents of a part of the range of keys, in their order."""

    file: str
    sizes: Sizes


def buckets_for(size: int) -> int:
    """Return the number of buckets for so many bytes of tokens."""
    return min(MOST_BUCKETS, max(1, -(-size // BUCKET_BYTES)))


def sort_unit(job: Job, unit: UnitSplit) -> str:
    """Write the documents of a unit sorted by their keys, in runs of bounded size.

    Returns:
        The file, whose batches have the column `keys` and are sorted by it, each for itself.
    """
    job.check_here()
    path = job.tokens / f"sorted-{unit.file}"
    with atomic_file(path, job.tokens) as new, pa.OSFile(str(new), "wb") as sink:
        writer = None
        for run in _runs(job, unit):
            numbers = numpy_numbers(run.column("numbers")) + np.uint64(unit.first)
            keys = order_keys(numbers, job.options.seed)
            columns = {name: run.column(name) for name in run.schema.names}
            columns |= {"numbers": arrow_numbers(numbers), "keys": arrow_numbers(keys)}
            batch = pa.record_batch(columns).take(arrow_numbers(np.argsort(keys)))
            if writer is None:
                writer = pa.ipc.new_file(sink, batch.schema)
            writer.write_batch(batch)
        if writer is not None:
            writer.close()
    return path.name


def gather_bucket(job: Job, files: tuple[str, ...], bucket: int, buckets: int) -> Bucket | None:
    """Write the documents of a bucket in their order; None if there are none.

    Args:
        job: The run.
        files: Those of `sort_unit`.
        bucket: Number of the bucket.
        buckets: Number of buckets.
    """
    job.check_here()
    ends = [np.uint64((bucket + at) * 2**64 // buckets) for at in (0, 1) if bucket + at < buckets]
    parts = []
    for file in files:
        path = job.tokens / file
        if not path.stat().st_size:  # a unit without documents
            continue
        with pa.memory_map(str(path)) as source:
            reader = pa.ipc.open_file(source)
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                found = np.searchsorted(numpy_numbers(batch.column("keys")), ends).tolist()
                first, stop = [*found, len(batch)][:2]
                if first < stop:
                    parts.append(batch.slice(first, stop - first))
    if not parts:
        return None
    table = pa.Table.from_batches(parts).combine_chunks()
    order = np.argsort(numpy_numbers(table["keys"].combine_chunks()))
    (batch,) = table.drop_columns("keys").take(arrow_numbers(order)).combine_chunks().to_batches()
    path = job.tokens / f"bucket-{bucket:04d}.arrow"
    with (
        atomic_file(path, job.tokens) as new,
        pa.OSFile(str(new), "wb") as sink,
        pa.ipc.new_file(sink, batch.schema) as writer,
    ):
        writer.write_batch(batch)
    text_bytes = int(numpy_numbers(batch.column("bytes")).sum())
    return Bucket(path.name, Sizes(len(batch), count_tokens(batch.column("tokens")), text_bytes))


def _runs(job: Job, unit: UnitSplit) -> Iterator[pa.RecordBatch]:
    """Yield the documents of a unit that are kept, joined up to the size of a bucket."""
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in kept_batches(job, unit):
        held.append(batch)
        size += batch.nbytes
        if size >= BUCKET_BYTES:
            yield from pa.Table.from_batches(held).combine_chunks().to_batches()
            held, size = [], 0
    if held:
        yield from pa.Table.from_batches(held).combine_chunks().to_batches()
