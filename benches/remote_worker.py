"""A contender of P10 remote in a process of its own: the batches of an epoch of a store.

`python benches/remote_worker.py WAY STORE BATCHES PAUSE` prints the seconds from opening the store
to the first batch, those that it waited for the others, and those of all, a pause after each batch
included. WAY is mlmfast or datasets.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import bench_mask
import transformers
from torch.utils.data import DataLoader

import mlmfast

BATCH = 32
BUFFER = 10_000
"""Rows that `datasets` shuffles at a time."""
WORKERS = 1
"""Shuffled, a stream is one shard, which one worker reads."""


def ours(store: str) -> Iterator[Any]:
    """The loader that a training has."""
    return iter(mlmfast.BlockLoader(mlmfast.BlockStore.open(store), batch_size=BATCH, prefetch=2))


def theirs(store: str) -> Iterator[Any]:
    """A stream of the same files, as the documentation of `datasets` shows it for S3."""
    import datasets

    files = f"{store}/data-*.arrow"
    rows = datasets.load_dataset("arrow", data_files=files, streaming=True, split="train")
    rows = rows.select_columns(["input_ids"]).shuffle(seed=0, buffer_size=BUFFER)
    collator = transformers.DataCollatorForLanguageModeling(bench_mask.tokenizer())
    return iter(
        DataLoader(
            rows,
            batch_size=BATCH,
            collate_fn=collator,
            num_workers=WORKERS,
            multiprocessing_context="forkserver",
        )
    )


def main(way: str, store: str, batches: str, pause: str) -> None:
    """Print (first batch, waited for the others, in all), in seconds."""
    start = time.perf_counter()
    loader = {"mlmfast": ours, "datasets": theirs}[way](store)
    next(loader)
    first = time.perf_counter() - start
    waited, before = 0.0, time.perf_counter()
    for _ in itertools.repeat(None, int(batches) - 1):
        time.sleep(float(pause))
        asked = time.perf_counter()
        next(loader)
        waited += time.perf_counter() - asked
    print(json.dumps([first, waited, time.perf_counter() - before]))


if __name__ == "__main__":
    main(*sys.argv[1:])
