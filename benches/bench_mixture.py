"""P3b: shuffled, masked batches of a mixture of two stores, beside `interleave_datasets`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import bench_mask
import datasets
import harness
import numpy as np
import pyarrow as pa
import torch
import transformers
from alone import measure, read_once
from mixture_memory import peaks
from torch.utils.data import DataLoader

import mlmfast

LENGTH, BATCH = 512, 256
SIZES = {"large": 8_192, "small": 1_024}  # blocks: 4.2 and 0.5 million tokens
SHARES = [0.7, 0.3]  # the small store repeats
PEER_BATCHES = 8


def stores(folder: Path, tokenizer: transformers.PreTrainedTokenizerFast) -> None:
    """Two block stores of random words, made by `prepare`, as users make theirs."""
    tokenizer.save_pretrained(folder / "tokenizer")
    words = np.array([f"w{at}" for at in range(4, bench_mask.VOCABULARY - 1)])
    for seed, (name, blocks) in enumerate(SIZES.items()):
        ids = np.random.default_rng(seed).integers(0, len(words), (blocks // 4, LENGTH * 4))
        mlmfast.prepare(
            pa.table({"text": pa.array([" ".join(words[row]) for row in ids])}),
            folder / name,
            tokenizer=folder / "tokenizer",
            block_size=LENGTH,
            special_tokens="none",
        )


def opened(folder: Path) -> tuple[mlmfast.Mixture, list[datasets.Dataset]]:
    """The stores as a mixture, and as the data sets that the peers read; all pages touched."""
    mixture = mlmfast.Mixture([folder / name for name in SIZES], SHARES)
    rows = [datasets.load_from_disk(str(folder / name)) for name in SIZES]
    for table in (mixture.joined.to_arrow(), *(each.data.table for each in rows)):
        read_once(table)
    return mixture, rows


def contenders(
    mixture: mlmfast.Mixture,
    rows: list[datasets.Dataset],
    batch: int = BATCH,
    batches: int | None = None,
) -> list[harness.Contender]:
    """The ways to load: ours a whole epoch of the mixture, the peers its first batches."""
    collator = transformers.DataCollatorForLanguageModeling(bench_mask.tokenizer())
    theirs = PEER_BATCHES if batches is None else batches

    def run(loader: Iterable[dict[str, torch.Tensor]], most: int | None) -> None:
        for found in islice(loader, most):
            assert found["labels"].shape[1] == LENGTH

    def interleaved(*, stream: bool, workers: int) -> harness.Contender:
        given = [one.shuffle(seed=0) for one in rows]
        if stream:
            given = [one.to_iterable_dataset() for one in given]
        mixed = datasets.interleave_datasets(
            given, probabilities=SHARES, seed=0, stopping_strategy="all_exhausted"
        )
        loader = DataLoader(mixed, batch, collate_fn=collator, num_workers=workers)
        kind = "iterable" if stream else "map-style"
        label = f"interleave_datasets ({kind}) + HF collator, {workers} workers"
        return harness.Contender(label, theirs * batch * LENGTH, lambda: run(loader, theirs))

    def ours(store: mlmfast.Mixture | mlmfast.BlockStore, prefetch: int) -> harness.Contender:
        what = "the mixture" if isinstance(store, mlmfast.Mixture) else "the large store alone"
        loader = mlmfast.BlockLoader(store, batch, prefetch=prefetch)
        count = min(len(store), (batches or len(loader)) * batch)
        label = f"mlmfast.BlockLoader on {what}, prefetch={prefetch}"
        return harness.Contender(
            label,
            count * LENGTH,
            lambda: run(loader, batches),
            4,
            ours=isinstance(store, mlmfast.Mixture),
        )

    return [
        interleaved(stream=False, workers=0),
        interleaved(stream=False, workers=2),
        interleaved(stream=True, workers=0),
        ours(mixture.stores[0], 2),
        ours(mixture, 0),
        ours(mixture, 2),
    ]


def alone(label: str, folder: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """One contender's call for a batch of two blocks, and for all of its work."""
    mixture, rows = opened(Path(folder))
    small = contenders(mixture, rows, batch=2, batches=1)
    return harness.named(label, small).run, harness.named(label, contenders(mixture, rows)).run


def jump(mixture: mlmfast.Mixture, epoch: int) -> float:
    """Seconds to the first batch of an epoch, of a loader that has read nothing before."""
    loader = mlmfast.BlockLoader(mixture, BATCH, epoch=epoch, prefetch=0)
    (seconds,) = harness.measure(
        [harness.Contender("jump", 1, lambda: next(iter(loader)))], rounds=1
    ).values()
    return seconds[0]


def main() -> list[str]:
    """Run the measurements; the lines of the report."""
    with tempfile.TemporaryDirectory() as folder:
        stores(Path(folder), bench_mask.tokenizer())
        mixture, rows = opened(Path(folder))
        ways = contenders(mixture, rows)
        seconds = harness.measure(ways)
        added = {
            way.label: measure("bench_mixture", way.label, folder).peak
            for way in ways
            if "2 workers" not in way.label
        }
        far = jump(mixture, 10**9)
        memory = peaks(Path(folder), Path(folder) / "tokenizer", bench_mask.VOCABULARY - 1)
    title = (
        f"## P3b mixture: masked batches of {BATCH} x {LENGTH} from two stores "
        "(`benches/bench_mixture.py`)"
    )
    sizes = " and ".join(f"{blocks:,}" for blocks in SIZES.values())
    shares = " and ".join(f"{share:.0%}" for share in SHARES)
    note = (
        f"Stores of {sizes} blocks on disk, memory-mapped, with shares of {shares}: the small one "
        f"repeats. The peers read the same files, the first {PEER_BATCHES} batches in each pass, "
        "without the time in which `interleave_datasets` chooses all rows; ours read a whole "
        f"epoch. A batch in epoch 10^9 comes after {harness.duration(far)}. {harness.PEAK_NOTE} "
        "That of worker processes was not measured."
    )
    table = harness.table(ways, seconds, "tokens", added)
    return [title, "", note, "", *table, "", *memory]


if __name__ == "__main__":
    harness.refuse_debug_build()
    print("\n".join(main()))
