"""P1: tokens into blocks, beside the guide, run_mlm.py, TRL, bare pyarrow and memcpy."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import datasets
import harness
import numpy as np
import pyarrow as pa
from recipes import BLOCK, bare_pyarrow, chain_form, documents, mapped, sum_form, trl_packed

import mlmfast

TOKENS = 50_000_000
SMALL = 200_000  # what the guide's recipe gets through in a second


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

    datasets.disable_progress_bars()
    source, target = np.ones(tokens, np.uint16), np.empty(tokens, np.uint16)
    contenders = [
        harness.Contender(
            "the guide (sum of lists, in map)", small_tokens, partial(mapped, sum_form, small)
        ),
        harness.Contender(
            "run_mlm.py (chain, in map)", small_tokens, partial(mapped, chain_form, small)
        ),
        harness.Contender(
            "TRL pack_dataset, wrapped", tokens, lambda: trl_packed(middle, "wrapped")
        ),
        harness.Contender(
            "TRL pack_dataset, bfd_split", packed_tokens, lambda: trl_packed(some, "bfd_split")
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
