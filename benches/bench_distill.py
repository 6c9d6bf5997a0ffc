"""P10: steps of a distillation, beside the same recipe in plain PyTorch.

`python benches/bench_distill.py 1 2` tries it with one round and two steps for the losses.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import bench_train
import distill_worker
import harness
import train_worker
from bench_train import LENGTH
from step_timings import STEPS, Timed, answers, losses, timings

LOSS_STEPS = 4
LABELS = {
    "plain": "plain PyTorch, fp32",
    "plain auto": "plain PyTorch, autocast",
    "fp32": "mlmfast, fp32",
    "auto": "mlmfast, auto",
    "stored": "mlmfast, fp32, stored answers",
    "stored auto": "mlmfast, auto, stored answers",
}


def table(found: dict[str, Timed], curves: dict[str, list[float]]) -> list[str]:
    """One row for each way."""
    names = ["", "in", "a step takes", "(min - max)", "tokens/s", "peak memory"]
    names += ["largest difference of a loss"]
    names += [f"{LABELS[way]} is" for way in distill_worker.OURS]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    median = {way: statistics.median(timed.seconds) for way, timed in found.items()}
    for way, timed in found.items():
        # Stored answers have another loss, in which all tokens but 64 are one.
        curve = curves.get(way, curves["plain"])
        gap = max(abs(a - b) for a, b in zip(curve, curves["plain"], strict=True))
        is_ours = way in (*distill_worker.OURS, *distill_worker.STORED)
        cells = [
            f"**{LABELS[way]}**" if is_ours else LABELS[way],
            distill_worker.precision_of(way),
            harness.duration(median[way]),
            f"{harness.duration(min(timed.seconds))} - {harness.duration(max(timed.seconds))}",
            f"{train_worker.BATCH * LENGTH / median[way]:,.0f}",
            harness.megabytes(timed.peak),
            f"{gap:.1e}" if way in curves and way != "plain" else "",
            *("" if way == o else f"{median[way] / median[o]:,.2f}x" for o in distill_worker.OURS),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main(rounds: int = harness.ROUNDS, loss_steps: int = LOSS_STEPS) -> list[str]:
    """Run the measurements; the lines of the report."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench_train.blocks(folder)
        written = answers(distill_worker.STORED, distill_worker.__file__, folder)
        found = timings(LABELS, distill_worker.__file__, folder, rounds)
        alike = {way: label for way, label in LABELS.items() if way not in written}
        curves = losses(alike, distill_worker.__file__, folder, loss_steps)
    batches = distill_worker.STORED_BLOCKS / train_worker.BATCH
    stored = "; ".join(
        f"in {distill_worker.precision_of(way)} {size:,.0f} bytes a masked token on the disk and "
        f"{harness.duration(seconds / batches)} a batch"
        for way, (seconds, size) in written.items()
    )
    note = (
        "A RoBERTa of six layers (82 million random weights) learns from one of twelve (125 "
        f"million), in batches of {train_worker.BATCH} x {LENGTH}, {bench_train.RATE:.0%} masked, "
        "by DistilBERT's loss at the masked tokens: divergence, labels, last hidden states. The "
        "peer computes all logits of both models and takes those at the masks, with "
        "DataCollatorForLanguageModeling and fused AdamW. Every way has a process of its own, and "
        f"the processes take turns: a timing is {STEPS} optimizer steps. The memory is the "
        "process's most, libraries and all. The loss is compared with that of the first way over "
        f"{loss_steps} steps from the same weights, without dropout, on the same masked rows; it "
        f"goes from {curves['plain'][0]:.3f} to {curves['plain'][-1]:.3f}. Stored answers are the "
        f"teacher's {distill_worker.TOP_K} largest logits and its hidden states, written before "
        f"the timings ({stored})."
    )
    return ["## P10 distill (`benches/bench_distill.py`)", "", note, "", *table(found, curves)]


if __name__ == "__main__":
    harness.refuse_debug_build()
    print("\n".join(main(*map(int, sys.argv[1:]))))
