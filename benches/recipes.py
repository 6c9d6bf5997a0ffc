"""The input of P1 and the ways to group it, each importing no more than it needs."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable

    import datasets

BLOCK = 128
VOCABULARY = 50_000


def documents(tokens: int, seed: int = 0) -> pa.LargeListArray:
    """Rows of uint16 with the lengths of real documents: log-normal, median 120 tokens."""
    rng = np.random.default_rng(seed)
    lengths = rng.lognormal(np.log(120), 1.0, size=tokens // 100).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    offsets = offsets[offsets <= tokens]
    values = rng.integers(5, VOCABULARY, offsets[-1], dtype=np.uint16)
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values))


def sum_form(examples: dict) -> dict:
    """The guide's way: lists added to lists."""
    joined = {name: sum(rows, []) for name, rows in examples.items()}  # noqa: RUF017
    total = len(joined["input_ids"]) // BLOCK * BLOCK
    return {k: [t[i : i + BLOCK] for i in range(0, total, BLOCK)] for k, t in joined.items()}


def chain_form(examples: dict) -> dict:
    """run_mlm.py's way: one pass with itertools.chain."""
    joined = {name: list(chain(*rows)) for name, rows in examples.items()}
    total = len(joined["input_ids"]) // BLOCK * BLOCK
    return {k: [t[i : i + BLOCK] for i in range(0, total, BLOCK)] for k, t in joined.items()}


def bare_pyarrow(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """What a pyarrow expert writes: flatten, cut, wrap."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    values = array.flatten()
    return pa.FixedSizeListArray.from_arrays(values[: len(values) // BLOCK * BLOCK], BLOCK)


def mapped(function: Callable[[dict], dict], data: datasets.Dataset) -> datasets.Dataset:
    """A recipe through `datasets.map`, with its result in memory, as ours is."""
    return data.map(function, batched=True, load_from_cache_file=False, keep_in_memory=True)


def trl_packed(data: datasets.Dataset, strategy: str) -> datasets.Dataset:
    """TRL's `pack_dataset`, with its result in memory."""
    from trl import pack_dataset

    options = {"load_from_cache_file": False, "keep_in_memory": True}
    return pack_dataset(data, BLOCK, strategy, options)
