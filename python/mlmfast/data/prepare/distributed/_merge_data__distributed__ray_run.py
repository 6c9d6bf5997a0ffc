"""A run of `prepare` on a Ray cluster."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mlmfast.data.prepare._merge_data__prepare_bar import progress_bar
from mlmfast.data.prepare.distributed.ray import ray_cluster
from mlmfast.data.prepare.distributed.run import DistributedPass
from mlmfast.data.prepare.options import PrepareOptions, counted
from mlmfast.data.prepare.split_writer import SplitWriter, split_writers

if TYPE_CHECKING:
    from mlmfast.data.prepare.documents import Counts
    from mlmfast.data.sources.base import ReadOptions, Source
    from mlmfast.data.tokenization.load import LoadedTokenizer
    from mlmfast.fs.staging import Workplace

_LOG = logging.getLogger("mlmfast.prepare")


def run_on_ray(
    work: Workplace,
    sources: list[Source],
    reading: ReadOptions,
    tokenizer: LoadedTokenizer,
    options: PrepareOptions,
    fingerprint: dict[str, Any] | None,
) -> tuple[str, Counts, dict[str, SplitWriter]]:
    """Take all text to the writers; return who encoded it, what was met, and the writers.

    Raises:
        InputError: A text or a source cannot be used, or the cluster cannot.
    """
    whole = DistributedPass(work, sources, reading, tokenizer, options)
    with ray_cluster(whole.job.threads) as connect:
        finished = whole.begin(fingerprint)
        if finished:
            _LOG.info("Going on with %s of an earlier run.", counted(finished, "finished part"))
        splits = split_writers(work.output, tokenizer, options)
        with progress_bar(whole.size, shown=options.progress) as advance:
            counts, engine = whole.run(connect(whole.job), splits, advance)
    return engine, counts, splits
