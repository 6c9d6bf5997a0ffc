"""The second wave: what of a unit's tokens goes to which split, once its place is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mlmfast.data.arrow_numpy import arrow_numbers, numpy_numbers
from mlmfast.data.prepare.distributed.job import Job
from mlmfast.data.prepare.distributed.tokenize import read_batches
from mlmfast.data.prepare.split import in_test


@dataclass(frozen=True)
class Share:
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


def share_lists(job: Job, share: Share) -> Iterator[tuple[pa.LargeListArray, int]]:
    """Yield (token lists, bytes of their text) of a share, in order."""
    size, seed = job.options.test_size, job.options.seed
    for batch in read_batches(job.tokens / share.file):
        numbers, sizes, lists = (batch.column(at) for at in range(3))
        if size is None:
            yield lists, int(numpy_numbers(sizes).sum())
            continue
        of_all = numpy_numbers(numbers) + np.uint64(share.first)
        wanted = in_test(of_all, test_size=size, seed=seed) == (share.split == "test")
        rows = np.flatnonzero(wanted)
        if len(rows):
            yield lists.take(arrow_numbers(rows)), int(numpy_numbers(sizes)[rows].sum())


def share_sizes(job: Job, shares: tuple[Share, ...]) -> tuple[Sizes, ...]:
    """Count what the shares of a unit hold."""
    job.check_here()
    return tuple(_sizes(job, share) for share in shares)


def document_ends(job: Job, share: Share) -> np.ndarray:
    """Tokens up to the end of each of the share's documents, int64 [documents]."""
    lengths = [np.diff(numpy_numbers(lists.offsets)) for lists, _ in share_lists(job, share)]
    return np.cumsum(np.concatenate(lengths) if lengths else np.zeros(0, np.int64))


def _sizes(job: Job, share: Share) -> Sizes:
    documents = tokens = text_bytes = 0
    for lists, size in share_lists(job, share):
        documents += len(lists)
        tokens += lists.offsets[-1].as_py() - lists.offsets[0].as_py()
        text_bytes += size
    return Sizes(documents, tokens, text_bytes)
