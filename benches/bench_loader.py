"""P3: shuffled, masked batches from disk as torch tensors, beside DataLoader + HF's collator."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import bench_mask
import datasets
import harness
import numpy as np
import pyarrow as pa
import torch
import transformers
from torch.utils.data import DataLoader

import mlmfast
from mlmfast.training.blocks import MaskedBlocks, keep_batch

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


def main() -> list[str]:
    """Run the measurements; the lines of the report."""
    tokenizer = bench_mask.tokenizer()
    with tempfile.TemporaryDirectory() as folder:
        blocks = store(Path(folder), tokenizer)
        rows = datasets.load_from_disk(str(Path(folder) / "blocks")).select(range(PEER_BLOCKS))
        collator = transformers.DataCollatorForLanguageModeling(tokenizer)

        def run(loader: Iterable[dict[str, torch.Tensor]]) -> None:
            for batch in loader:
                assert batch["labels"].shape[1] == LENGTH

        def peer(data: datasets.Dataset, workers: int) -> harness.Contender:
            loader = DataLoader(data, BATCH, shuffle=True, collate_fn=collator, num_workers=workers)
            form = "torch format" if data.format["type"] == "torch" else "lists"
            label = f"DataLoader + HF collator, {form}, {workers} workers"
            return harness.Contender(label, len(data) * LENGTH, lambda: run(loader))

        masked = MaskedBlocks(blocks)
        ours = DataLoader(masked, BATCH, shuffle=True, collate_fn=keep_batch)
        shard = np.concatenate(blocks.shards)

        def floor() -> None:
            order = np.random.default_rng(0).permutation(len(shard))
            for at in range(0, len(order), BATCH):
                ids, labels = (torch.empty(BATCH, LENGTH, dtype=torch.int64) for _ in range(2))
                ids.numpy()[:] = shard[order[at : at + BATCH]]
                labels.fill_(-100)

        def loader(prefetch: int) -> harness.Contender:
            label = f"mlmfast.BlockLoader, prefetch={prefetch}"
            batches = mlmfast.BlockLoader(blocks, BATCH, prefetch=prefetch)
            return harness.Contender(
                label, len(blocks) * LENGTH, lambda: run(batches), 4, ours=True
            )

        contenders = [
            peer(rows, 0),
            peer(rows, 2),
            peer(rows.with_format("torch"), 0),
            harness.Contender("gather, widen and fill in numpy", len(blocks) * LENGTH, floor, 4),
            harness.Contender(
                "DataLoader + MaskedBlocks, 0 workers",
                len(blocks) * LENGTH,
                lambda: run(ours),
                4,
                ours=True,
            ),
            loader(0),
            loader(2),
        ]
        title = f"## P3 load: masked batches of {BATCH} x {LENGTH} (`benches/bench_loader.py`)"
        note = (
            f"A store of {len(blocks):,} blocks on disk, memory-mapped; the peers read the same "
            f"files, {PEER_BLOCKS:,} blocks a pass. torch uses {torch.get_num_threads()} threads."
        )
        lines = harness.table(contenders, harness.measure(contenders), "tokens")
    return [title, "", note, "", *lines]


if __name__ == "__main__":
    harness.refuse_debug_build()
    print("\n".join(main()))
