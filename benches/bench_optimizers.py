"""P10: what optimizers reach in the same time, on the recipe `scratch`.

`python benches/bench_optimizers.py --hours 0.01 --seeds 1` tries it; `make bench
BENCH=bench_optimizers` takes the same from the variable MLMFAST_BENCH_OPTIMIZERS. Threads are those
of OMP_NUM_THREADS.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import harness
import optimizers_worker
from peer_packages import installed
from tokenize_input import SHARED

import mlmfast

BOOKS = SHARED / "text" / "books" / "books_en_48m.txt.gz"
VOCABULARY, LENGTH, TEST = 16_384, 128, 0.02
OPTIMI = "torch-optimi==0.2.1"
"""0.3 runs Triton kernels, on a CPU too, where they have no driver."""
OPTIMIZERS = {
    "adamw_torch_fused": "AdamW, fused (the default)",
    "stable_adamw": f"StableAdamW ({OPTIMI.replace('==', ' ')})",
    "muon": "Muon for the layers' matrices, AdamW for the rest",
}
SPEED_ROUNDS = 3


def prepared(folder: Path) -> Path:
    """Blocks of the books, with a tokenizer trained on them; a book is a document."""
    blocks = folder / "blocks"
    if blocks.exists():
        return blocks
    books = folder / "books"
    books.mkdir(parents=True, exist_ok=True)
    text = gzip.decompress(BOOKS.read_bytes()).decode()
    texts = list(filter(str.strip, re.split(r"(?m)^(?=# Title: )", text)))
    for number, book in enumerate(texts):
        (books / f"{number:04d}.txt").write_text(book, encoding="utf-8")
    tokenizer = folder / "tokenizer"
    mlmfast.train_tokenizer(texts, tokenizer, model="bpe", vocab_size=VOCABULARY, overwrite=True)
    mlmfast.prepare(
        books, blocks, tokenizer=tokenizer, block_size=LENGTH, test_size=TEST, format="document"
    )
    return blocks


def ask(environment: dict[str, str], *words: object) -> Any:
    """The JSON that a worker prints."""
    command = [sys.executable, optimizers_worker.__file__, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def environments() -> tuple[dict[str, dict[str, str]], list[str]]:
    """The variables of each optimizer's process, and who is left out."""
    own = dict(os.environ)
    found = dict.fromkeys(OPTIMIZERS, own)
    path, problem = installed(OPTIMI)
    if path is None or problem is not None:
        del found["stable_adamw"]
        return found, ["", f"StableAdamW is left out: {problem}"]
    return {**found, "stable_adamw": {**own, "PYTHONPATH": str(path)}}, []


def spread(values: Sequence[float], digits: str) -> str:
    """The mean, with the least and the largest."""
    low, high = min(values), max(values)
    return f"{statistics.mean(values):{digits}} ({low:{digits}} - {high:{digits}})"


def main(given: Sequence[str] | None = None) -> list[str]:
    """Run the trainings; the lines of the report.

    Args:
        given: Settings; None: those of the variable MLMFAST_BENCH_OPTIMIZERS.
    """
    if given is None:
        given = shlex.split(os.environ.get("MLMFAST_BENCH_OPTIMIZERS", ""))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=0.25, help="of the steps of a training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="folder for the blocks, used again")
    wanted = parser.parse_args(given)
    tried, left_out = environments()
    with tempfile.TemporaryDirectory() as name:
        folder = wanted.keep or Path(name)
        blocks = prepared(folder)
        seconds: dict[str, list[float]] = {optim: [] for optim in tried}
        for _ in range(SPEED_ROUNDS):
            for optim, environment in tried.items():
                seconds[optim].append(ask(environment, "speed", optim, blocks))
        tokens = optimizers_worker.recipe()["phases"][-1]["batch_size"] * LENGTH
        speeds = {optim: tokens / statistics.median(each) for optim, each in seconds.items()}
        found: dict[str, list[dict[str, float]]] = {optim: [] for optim in tried}
        for seed in range(wanted.seeds):
            for optim, environment in tried.items():
                words = (blocks, seed, wanted.hours, speeds[optim])
                found[optim].append(ask(environment, "train", optim, *words))
    lines = [
        "| | a step takes | (min - max) | steps | loss | perplexity | top-1 |",
        "|---|---|---|---|---|---|---|",
    ]
    for optim, results in found.items():
        low, high = min(seconds[optim]), max(seconds[optim])
        losses = [each["loss"] for each in results]
        cells = [
            OPTIMIZERS[optim],
            harness.duration(statistics.median(seconds[optim])),
            f"{harness.duration(low)} - {harness.duration(high)}",
            f"{results[0]['steps']:,.0f}",
            spread(losses, ".3f"),
            spread([math.exp(loss) for loss in losses], ".1f"),
            spread([each["top1"] for each in results], ".1%"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    number = os.environ.get("OMP_NUM_THREADS", "all")
    threads = "1 thread" if number == "1" else f"{number} threads"
    note = (
        f"The recipe `scratch` on 48 MB of English books ({VOCABULARY:,} tokens of BPE, blocks of "
        f"{LENGTH}), as long as its steps take {wanted.hours:g} hours on "
        f"{threads}. A step's time is that of 64 blocks, measured in turn before ("
        f"{SPEED_ROUNDS} rounds of {optimizers_worker.STEPS - 1} steps); "
        "the number of steps follows from it, so that what the trainings reach does not depend on "
        f"what else the machine does. All have the recipe's learning rate. Means of {wanted.seeds} "
        "seeds, (least - largest), on the held-out books, 15 % masked."
    )
    title = "## P10 optimizers (`benches/bench_optimizers.py`)"
    return [title, "", note, *left_out, "", *lines]


if __name__ == "__main__":
    harness.refuse_debug_build()
    print("\n".join(main(sys.argv[1:])))
