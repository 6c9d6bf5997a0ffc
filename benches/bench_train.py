"""P5: training steps of a model of DistilRoBERTa's size, beside transformers.Trainer.

`python benches/bench_train.py 1 2` tries it with one round and two steps for the losses.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import bench_mask
import harness
import numpy as np
import pyarrow as pa
import train_worker
from gemm_peak import gemm_peak
from step_timings import STEPS, Timed, losses, timings

import mlmfast

LENGTH, BLOCKS = 128, 512
RATE = 0.15
LOSS_STEPS = 5
LABELS = {
    "guide": "transformers.Trainer, the guide's defaults",
    "tuned": "transformers.Trainer, tuned",
    "fp32": "mlmfast, fp32",
    "auto": "mlmfast, auto",
}


def blocks(folder: Path) -> None:
    """Write blocks of random words, by `prepare`."""
    bench_mask.tokenizer().save_pretrained(folder / "tokenizer")
    ids = np.random.default_rng(0).integers(4, bench_mask.VOCABULARY - 1, (BLOCKS, LENGTH))
    texts = pa.array([" ".join(f"w{each}" for each in row) for row in ids])
    mlmfast.prepare(
        pa.table({"text": texts}),
        folder / "blocks",
        tokenizer=folder / "tokenizer",
        block_size=LENGTH,
        special_tokens="none",
    )


def useful_flops() -> float:
    """FLOPs of one step that the loss depends on, forward and backward.

    The head, and the last layer behind its attention, are counted at the masked tokens alone.
    """
    width, inner, layers = 768, 3072, train_worker.SHAPE["num_hidden_layers"]
    tokens = train_worker.BATCH * LENGTH
    masked = RATE * tokens
    before = 3 * width * width + 2 * LENGTH * width  # queries, keys, values; the attention itself
    behind = width * width + 2 * width * inner
    head = width * width + width * bench_mask.VOCABULARY
    products = layers * before * tokens + behind * ((layers - 1) * tokens + masked) + head * masked
    return 3 * 2 * products


def table(
    found: dict[str, Timed], curves: dict[str, list[float]], peaks: dict[str, tuple[float, str]]
) -> list[str]:
    """One row for each way."""
    names = [
        "",
        "in",
        "a step takes",
        "(min - max)",
        "tokens/s",
        "waits for batches",
        "peak memory",
    ]
    names += ["of the GEMM peak", "largest difference of a loss"]
    names += [f"{LABELS[way]} is" for way in train_worker.OURS]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    median = {way: statistics.median(timed.seconds) for way, timed in found.items()}
    for way, timed in found.items():
        precision = train_worker.precision_of(way)
        gap = max(abs(a - b) for a, b in zip(curves[way], curves["guide"], strict=True))
        cells = [
            f"**{LABELS[way]}**" if way in train_worker.OURS else LABELS[way],
            precision,
            harness.duration(median[way]),
            f"{harness.duration(min(timed.seconds))} - {harness.duration(max(timed.seconds))}",
            f"{train_worker.BATCH * LENGTH / median[way]:,.0f}",
            f"{statistics.median(timed.waited) / median[way]:.1%}",
            harness.megabytes(timed.peak),
            f"{useful_flops() / median[way] / peaks[precision][0]:.0%}",
            "" if way == "guide" else f"{gap:.1e}",
            *("" if way == o else f"{median[way] / median[o]:,.2f}x" for o in train_worker.OURS),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main(rounds: int = harness.ROUNDS, loss_steps: int = LOSS_STEPS) -> list[str]:
    """Run the measurements; the lines of the report."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        blocks(folder)
        needed = {train_worker.precision_of(way) for way in LABELS}
        before = {precision: gemm_peak(precision) for precision in needed}
        found = timings(LABELS, train_worker.__file__, folder, rounds)
        peaks = {precision: max(before[precision], gemm_peak(precision)) for precision in needed}
        curves = losses(LABELS, train_worker.__file__, folder, loss_steps)
    shape = f"{train_worker.BATCH} x {LENGTH}"
    at = ", ".join(
        f"{speed / 1e9:,.0f} GFLOP/s in {precision} ({which})"
        for precision, (speed, which) in sorted(peaks.items())
    )
    note = (
        f"A RoBERTa of six layers (82 million random weights), batches of {shape}, {RATE:.0%} "
        f"masked, optimizer steps and all. Every way is a Trainer in a process of its own, and the "
        f"processes take turns: a timing is {STEPS} steps. The peers: the guide's arguments with "
        "DataCollatorForLanguageModeling; tuned, the same in the precision that `auto` takes here, "
        "with two workers that load. (Fused AdamW is the Trainer's own default.) Waiting for "
        "batches is a share of the step; the memory is the process's most, libraries and all. 'Of "
        "the GEMM peak' is what the arithmetic that the loss depends on (the head, and what stands "
        "behind the last attention, at masked tokens alone; forward and backward) takes of "
        f"{at}. The loss is compared with that of the first way over {loss_steps} steps from the "
        "same weights, without dropout, on the same masked rows; it falls from "
        f"{curves['guide'][0]:.3f} to {curves['guide'][-1]:.3f}."
    )
    return ["## P5 train (`benches/bench_train.py`)", "", note, "", *table(found, curves, peaks)]


if __name__ == "__main__":
    harness.refuse_debug_build()
    print("\n".join(main(*map(int, sys.argv[1:]))))
