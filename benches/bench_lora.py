"""P10: training adapters, beside all weights and beside PEFT in transformers.Trainer.

`python benches/bench_lora.py 1 60 20` tries it with one round, a model that was trained from
scratch for 60 steps, and 20 steps of adapting it.
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bench_train
import harness
import lora_worker
import train_worker
from step_timings import STEPS, Timed, timings

import mlmfast
from mlmfast.data.store.store import BlockStore
from mlmfast.data.tokenization.train import train_tokenizer
from mlmfast.demo.corpus import write_corpus

ROUNDS = 3
LABELS = {
    "trainer": "transformers.Trainer, all weights",
    "peft": "transformers.Trainer, PEFT",
    "full": "mlmfast, all weights",
    "lora": "mlmfast, LoRA",
    "dora": "mlmfast, DoRA",
}
FROM_SCRATCH, ADAPTING = 600, 100
"""Steps of the model that is adapted, and of each way to adapt it."""
SMALL = {
    "hidden_size": 256,
    "intermediate_size": 1024,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 130,
}
BATCH, LENGTH = 32, 128
RATES = {"full": (2e-4, 1e-3), "lora": (2e-3, 1e-2), "dora": (2e-3, 1e-2)}
"""Learning rates that each way tries; the better one counts."""


@dataclass
class Adapted:
    """A model after a training: its evaluation, and what the steps took."""

    rate: float
    steps: int
    perplexity: float
    seconds: float


def speed_table(found: dict[str, Timed], trained: dict[str, int]) -> list[str]:
    """One row for each way."""
    names = ["", "a step takes", "(min - max)", "steps/s", "peak memory", "trained weights"]
    names += ["optimizer state", "mlmfast, LoRA is"]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    median = {way: statistics.median(timed.seconds) for way, timed in found.items()}
    for way, timed in found.items():
        label = LABELS[way]
        cells = [
            label if way in lora_worker.PEERS else f"**{label}**",
            harness.duration(median[way]),
            f"{harness.duration(min(timed.seconds))} - {harness.duration(max(timed.seconds))}",
            harness.number(1 / median[way]),
            harness.megabytes(timed.peak),
            f"{trained[way]:,}",
            harness.megabytes(8 * trained[way]),  # two numbers in fp32 for each weight
            "" if way == "lora" else f"{median[way] / median['lora']:,.2f}x",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def write_texts(folder: Path) -> None:
    """Write two block stores with one tokenizer: docstrings, and the language reference."""
    write_corpus(folder / "corpus.jsonl")
    lines = (folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    documents = [json.loads(line) for line in lines]
    texts: dict[str, list[str]] = {"docstrings": [], "reference": []}
    for each in documents:
        is_reference = each["source"].startswith("reference.")
        texts["reference" if is_reference else "docstrings"].append(each["text"])
    train_tokenizer(texts["docstrings"], folder / "small-tokenizer", vocab_size=4096)
    for name, own in texts.items():
        file = folder / f"{name}.jsonl"
        file.write_text("\n".join(json.dumps({"text": text}) for text in own), encoding="utf-8")
        mlmfast.prepare(
            str(file),
            folder / name,
            tokenizer=folder / "small-tokenizer",
            block_size=LENGTH,
            test_size=0.1,
        )


def adapt(folder: Path, way: str, rate: float, steps: int) -> Adapted:
    """Adapt the small model to the language reference."""
    result = mlmfast.train(
        folder / "reference",
        model=folder / "small",
        output=folder / "adapted",
        overwrite=True,
        lora=lora_worker.OPTIONS[way],
        learning_rate=rate,
        **training(steps),
    )
    assert result.after is not None
    seconds = steps * BATCH * LENGTH / result.tokens_per_second
    return Adapted(rate, steps, result.after.perplexity, seconds)


def training(steps: int) -> dict[str, Any]:
    """The options that all trainings of the small model share."""
    return {
        "max_steps": steps,
        "per_device_train_batch_size": BATCH,
        "warmup_ratio": 0.1,
        "save_strategy": "no",
        "eval_strategy": "epoch",
        "eval_on_start": False,
        "use_cpu": True,
        "report": False,
        "quiet": True,
    }


def perplexities(folder: Path, from_scratch: int, steps: int) -> tuple[float, list[str]]:
    """Adapt the small model in each way; its perplexity before, and one row for each way."""
    write_texts(folder)
    mlmfast.train(
        folder / "docstrings",
        from_scratch=True,
        model_type="roberta",
        config_overrides=SMALL,
        output=folder / "small",
        **training(from_scratch) | {"learning_rate": 1e-3},
    )
    before = mlmfast.evaluate(folder / "small", folder / "reference").perplexity
    best = {
        way: min((adapt(folder, way, rate, steps) for rate in rates), key=lambda a: a.perplexity)
        for way, rates in RATES.items()
    }
    names = ["", "learning rate", f"perplexity after {steps} steps", "after the time of these"]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for way, found in best.items():
        if way == "full":
            again = found
        else:
            count = max(1, round(steps * best["full"].seconds / found.seconds))
            again = adapt(folder, way, found.rate, count)
        cells = [
            f"**{LABELS[way]}**",
            f"{found.rate:g}",
            harness.number(found.perplexity),
            f"{harness.number(again.perplexity)} ({again.steps} steps)",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return before, lines


def main(
    rounds: int = ROUNDS, from_scratch: int = FROM_SCRATCH, steps: int = ADAPTING
) -> list[str]:
    """Run the measurements; the lines of the report."""
    logging.getLogger("mlmfast").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench_train.blocks(folder)
        vocabulary = BlockStore.open(folder / "blocks").manifest.vocab_size
        trained = {way: lora_worker.parameters(way, vocabulary) for way in LABELS}
        timed = timings(LABELS, lora_worker.__file__, folder, rounds)
        before, rows = perplexities(folder, from_scratch, steps)
    note = (
        f"A RoBERTa of six layers (82 million random weights), batches of {train_worker.BATCH} x "
        f"{bench_train.LENGTH}, all in {train_worker.precision_of('auto')}: {lora_worker.LORA}, "
        "or all weights. Every way is a Trainer in a process of its own, and the processes take "
        f"turns: a timing is {STEPS} steps, and there are {rounds}. The peers have two workers "
        "that load, and compute all logits. The memory is the process's most, libraries and all."
    )
    text = (
        f"What is learned: a RoBERTa of four layers (width 256) learned docstrings for "
        f"{from_scratch} steps and is adapted to the language reference of Python, in batches of "
        f"{BATCH} x {LENGTH}. Its perplexity there is {harness.number(before)} before. Each way "
        "tried two learning rates, of which the better one counts; 'after the time of these' is a "
        "training that takes as long as the steps of all weights."
    )
    head = "## P10 adapters (`benches/bench_lora.py`)"
    return [head, "", note, "", *speed_table(timed, trained), "", text, "", *rows]


if __name__ == "__main__":
    harness.refuse_debug_build()
    print("\n".join(main(*map(int, sys.argv[1:]))))
