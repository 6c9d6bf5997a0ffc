"""P3: shuffled, masked batches from disk as torch tensors, beside DataLoader + HF's collator."""

from __future__ import annotations

import math
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
from torch.utils.data import DataLoader

import mlmfast
from mlmfast.training.block_dataset import keep_batch
from mlmfast.training.datasets import MaskedBlocks

LENGTH, BATCH = 512, 256
BLOCKS = 10_240  # 5 million tokens
PEER_BLOCKS = 2_048


def store(folder: Path, tokenizer: transformers.PreTrainedTokenizerFast) -> mlmfast.BlockStore:
    """A block store of random words, made by `prepare`, as users make theirs."""
    tokenizer.save_pretrained(folder / "tokenizer")
    rng = np.random.default_rng(0)
    words = np.array([f"w{at}" for at in range(4, bench_mask.VOCABULARY - 1)])
    ids = rng.integers(0, len(words), (BLOCKS // 4, LENGTH * 4))
    texts = pa.array([" ".join(words[row]) for row in ids])
    return mlmfast.prepare(
        pa.table({"text": texts}),
        folder / "blocks",
        tokenizer=folder / "tokenizer",
        block_size=LENGTH,
        special_tokens="none",
    )


def opened(folder: Path) -> tuple[mlmfast.BlockStore, datasets.Dataset]:
    """The store as ours, and as the data set that the peers read; every page of both touched."""
    blocks = mlmfast.BlockStore.open(folder / "blocks")
    rows = datasets.load_from_disk(str(folder / "blocks"))
    read_once(blocks.to_arrow())
    read_once(rows.data.table)
    return blocks, rows


def contenders(
    blocks: mlmfast.BlockStore,
    rows: datasets.Dataset,
    batch: int = BATCH,
    batches: int | None = None,
) -> list[harness.Contender]:
    """The ways to load: a whole pass, or the first so many batches of one."""
    collator = transformers.DataCollatorForLanguageModeling(bench_mask.tokenizer())
    most = math.inf if batches is None else batches * batch
    ours_tokens, peer_tokens = (int(min(len(it), most)) * LENGTH for it in (blocks, rows))

    def run(loader: Iterable[dict[str, torch.Tensor]]) -> None:
        for found in islice(loader, batches):
            assert found["labels"].shape[1] == LENGTH

    def peer(data: datasets.Dataset, workers: int) -> harness.Contender:
        loader = DataLoader(data, batch, shuffle=True, collate_fn=collator, num_workers=workers)
        form = "torch format" if data.format["type"] == "torch" else "lists"
        label = f"DataLoader + HF collator, {form}, {workers} workers"
        return harness.Contender(label, peer_tokens, lambda: run(loader))

    masked = MaskedBlocks(blocks)
    ours = DataLoader(masked, batch, shuffle=True, collate_fn=keep_batch)

    def floor() -> None:
        shard = blocks.shards[0]
        order = np.random.default_rng(0).permutation(len(shard))
        for at in islice(range(0, len(order), batch), batches):
            ids, labels = (torch.empty(batch, LENGTH, dtype=torch.int64) for _ in range(2))
            ids.numpy()[:] = shard[order[at : at + batch]]
            labels.fill_(-100)

    def loader(prefetch: int) -> harness.Contender:
        label = f"mlmfast.BlockLoader, prefetch={prefetch}"
        loading = mlmfast.BlockLoader(blocks, batch, prefetch=prefetch)
        return harness.Contender(label, ours_tokens, lambda: run(loading), 4, ours=True)

    return [
        peer(rows, 0),
        peer(rows, 2),
        peer(rows.with_format("torch"), 0),
        harness.Contender("gather, widen and fill in numpy", ours_tokens, floor, 4),
        harness.Contender(
            "DataLoader + MaskedBlocks, 0 workers", ours_tokens, lambda: run(ours), 4, ours=True
        ),
        loader(0),
        loader(2),
    ]


def alone(label: str, folder: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """One contender's call for a batch of two blocks, and for a whole pass."""
    blocks, rows = opened(Path(folder))
    small = contenders(blocks, rows, batch=2, batches=1)
    whole = contenders(blocks, rows.select(range(PEER_BLOCKS)))
    return harness.named(label, small).run, harness.named(label, whole).run


def main() -> list[str]:
    """Run the measurements; the lines of the report."""
    with tempfile.TemporaryDirectory() as folder:
        store(Path(folder), bench_mask.tokenizer())
        blocks, rows = opened(Path(folder))
        ways = contenders(blocks, rows.select(range(PEER_BLOCKS)))
        seconds = harness.measure(ways)
        peaks = {
            way.label: measure("bench_loader", way.label, folder).peak
            for way in ways
            if "2 workers" not in way.label
        }
    title = f"## P3 load: masked batches of {BATCH} x {LENGTH} (`benches/bench_loader.py`)"
    note = (
        f"A store of {len(blocks):,} blocks on disk, memory-mapped; the peers read the same files, "
        f"{PEER_BLOCKS:,} blocks a pass. torch uses {torch.get_num_threads()} threads. "
        f"{harness.PEAK_NOTE} That of worker processes was not measured."
    )
    return [title, "", note, "", *harness.table(ways, seconds, "tokens", peaks)]


if __name__ == "__main__":
    harness.refuse_debug_build()
    print("\n".join(main()))
