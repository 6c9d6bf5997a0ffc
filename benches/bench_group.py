"""P1: tokens into blocks, beside the guide, run_mlm.py, TRL, bare pyarrow and memcpy."""

from __future__ import annotations

from itertools import chain, pairwise

import datasets
import harness
import numpy as np
import pyarrow as pa
from trl import pack_dataset

import mlmfast

BLOCK = 128
TOKENS = 50_000_000
SMALL = 200_000  # what the guide's recipe gets through in a second


def documents(tokens: int) -> pa.LargeListArray:
    """Rows of uint16 with the lengths of real documents: log-normal, median 120 tokens."""
    rng = np.random.default_rng(0)
    lengths = rng.lognormal(np.log(120), 1.0, size=tokens // 100).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    offsets = offsets[offsets <= tokens]
    values = rng.integers(5, 50_000, offsets[-1], dtype=np.uint16)
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


def main() -> list[str]:
    """Run the measurements; the lines of the report."""
    one = documents(TOKENS)
    cuts = np.linspace(0, len(one), 17).astype(int)
    many = pa.chunked_array([pa.concat_arrays([one[a:b]]) for a, b in pairwise(cuts)])
    tokens = len(one.flatten())
    small = datasets.Dataset(
        pa.table({"input_ids": documents(SMALL).cast(pa.large_list(pa.int32()))})
    )
    small_tokens = sum(map(len, small["input_ids"]))
    some = datasets.Dataset(pa.table({"input_ids": documents(TOKENS // 25)}))
    packed_tokens = len(some.data["input_ids"].combine_chunks().flatten())
    middle = datasets.Dataset(pa.table({"input_ids": one}))

    def mapped(function, data):
        return lambda: data.map(
            function, batched=True, load_from_cache_file=False, keep_in_memory=True
        )

    datasets.disable_progress_bars()
    source, target = np.ones(tokens, np.uint16), np.empty(tokens, np.uint16)
    contenders = [
        harness.Contender(
            "the guide (sum of lists, in map)", small_tokens, mapped(sum_form, small)
        ),
        harness.Contender("run_mlm.py (chain, in map)", small_tokens, mapped(chain_form, small)),
        harness.Contender(
            "TRL pack_dataset, wrapped",
            tokens,
            lambda: pack_dataset(
                middle, BLOCK, "wrapped", {"load_from_cache_file": False, "keep_in_memory": True}
            ),
        ),
        harness.Contender(
            "TRL pack_dataset, bfd_split",
            packed_tokens,
            lambda: pack_dataset(
                some, BLOCK, "bfd_split", {"load_from_cache_file": False, "keep_in_memory": True}
            ),
        ),
        harness.Contender(
            "mlmfast, best_fit",
            tokens,
            lambda: mlmfast.group_blocks(one, BLOCK, packing="best_fit", pad_id=0),
            ours=True,
        ),
        harness.Contender("bare pyarrow, 16 chunks", tokens, lambda: bare_pyarrow(many)),
        harness.Contender("memcpy of the tokens", tokens, lambda: np.copyto(target, source)),
        harness.Contender(
            "mlmfast, 16 chunks", tokens, lambda: mlmfast.group_blocks(many, BLOCK), ours=True
        ),
        harness.Contender("bare pyarrow, one chunk", tokens, lambda: bare_pyarrow(one), repeat=50),
        harness.Contender(
            "mlmfast, one chunk",
            tokens,
            lambda: mlmfast.group_blocks(one, BLOCK),
            repeat=50,
            ours=True,
        ),
    ]
    title = f"## P1 group: tokens into blocks of {BLOCK} (`benches/bench_group.py`)"
    note = (
        f"{tokens:,} uint16 tokens in {len(one):,} documents of log-normal length; the two recipes "
        f"in `map` get {small_tokens:,} of int32, which takes them long enough."
    )
    return [title, "", note, "", *harness.table(contenders, harness.measure(contenders), "tokens")]


if __name__ == "__main__":
    harness.refuse_debug_build()
    print("\n".join(main()))
