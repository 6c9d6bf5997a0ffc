"""What a mixture's loader adds to the memory of a process, by the size of its stores."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from alone import measure, read_once

import mlmfast

TOKENS = (1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
LENGTH, BATCH, BATCHES = 512, 32, 50
SMALL = 8
"""The second store is so many times smaller, and repeats."""
SHARES = [0.7, 0.3]
ROWS = 1 << 15
"""Blocks that are drawn at a time."""


def write(folder: Path, tokens: int, tokenizer: Path, vocabulary: int) -> None:
    """Write a block store of random ids to `folder`."""
    kind = pa.list_(pa.uint16(), LENGTH)
    draw = np.random.default_rng(tokens)
    rows = folder.with_suffix(".parquet")
    schema = pa.schema([("input_ids", kind)])
    with pq.ParquetWriter(rows, schema, compression="none", use_dictionary=False) as file:
        left = tokens // LENGTH
        while left:
            count = min(left, ROWS)
            ids = draw.integers(5, vocabulary, count * LENGTH, np.uint16)
            blocks = pa.FixedSizeListArray.from_arrays(pa.array(ids), type=kind)
            file.write_table(pa.table([blocks], schema=schema))
            left -= count
    mlmfast.convert(rows, folder, to="store", tokenizer=tokenizer)
    rows.unlink()


def alone(tokens: str, folder: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """Loading a batch of two blocks, and many batches; all pages of the stores are touched."""
    stores = [Path(folder) / f"{int(tokens)}", Path(folder) / f"{int(tokens) // SMALL}"]
    mixture = mlmfast.Mixture(stores, SHARES)
    read_once(mixture.joined.to_arrow())

    def load(batch: int, batches: int) -> None:
        for found in islice(mlmfast.BlockLoader(mixture, batch), batches):
            assert found["labels"].shape == (batch, LENGTH)

    return lambda: load(2, 1), lambda: load(BATCH, BATCHES)


def peaks(folder: Path, tokenizer: Path, vocabulary: int) -> list[str]:
    """Measure each size; the lines of a table."""
    names = [f"{tokens / 1e6:,.0f} M" for tokens in TOKENS]
    cells = []
    for tokens in TOKENS:
        for each in (tokens, tokens // SMALL):
            if not (folder / f"{each}").exists():
                write(folder / f"{each}", each, tokenizer, vocabulary)
        peak = measure("mixture_memory", str(tokens), str(folder)).peak
        cells.append(f"{peak / 1e6:.1f} MB")
    about = (
        f"Memory of {BATCHES} batches of {BATCH} x {LENGTH} from a mixture of a store of so many "
        f"tokens and one of an {SMALL}th of them, whose pages are resident already:"
    )
    table = [f"| {' | '.join(names)} |", "|---" * len(names) + "|", f"| {' | '.join(cells)} |"]
    return [about, "", *table]
