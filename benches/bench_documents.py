"""P9: training on documents, packed without padding, beside run_mlm.py's --line_by_line.

`python benches/bench_documents.py 1 1 0 eli5-512` tries one round of one step, without the losses,
on one of the four inputs.
"""

from __future__ import annotations

import gzip
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import documents_worker
import harness
import pyarrow as pa
from fill_mask_worker import Worker, environment
from tokenize_input import SHARED

import mlmfast
from mlmfast.data.store.store import open_splits

ELI5 = SHARED / "text" / "eli5_category" / "validation2.jsonl.gz"
WIKITEXT = SHARED / "text" / "wikitext-2" / "test.raw.txt"
TOKENIZER = SHARED / "tokenizers" / "roberta-base"
INPUTS = {
    "eli5-512": ("ELI5 answers", 512),
    "eli5-128": ("ELI5 answers", 128),
    "wikitext-512": ("WikiText-2 lines", 512),
    "wikitext-128": ("WikiText-2 lines", 128),
}
ROUNDS, STEPS = 3, 2
LOSS_INPUT, LOSS_DOCUMENTS = "eli5-512", 128
"""Losses are compared on one input, since they take longer than all timings of it."""
ATTENTION_LENGTHS = (512, 2048)
LABELS = {
    "script": "run_mlm.py --line_by_line",
    "grouped": "the same, --group_by_length",
    "padded": "mlmfast, padded",
    "packed": "mlmfast, packed",
    "packed auto": "mlmfast, packed, precision auto",
}


@dataclass
class Timed:
    """A way's timings: useful tokens in a second and the fill rate, for each round."""

    speeds: list[float] = field(default_factory=list)
    tokens: int = 0
    positions: int = 0
    peak: int = 0


def texts(name: str) -> list[str]:
    """The documents of an input."""
    if name == "ELI5 answers":
        with gzip.open(ELI5, "rt", encoding="utf-8") as lines:
            return [text for line in lines for text in json.loads(line)["answers"]["text"]]
    return [line for line in WIKITEXT.read_text(encoding="utf-8").splitlines() if line.strip()]


def prepare(name: str, length: int, folder: Path) -> None:
    """Write the documents as a store with a block for each, and a split to measure on."""
    mlmfast.prepare(
        pa.table({"text": texts(name)}),
        folder,
        tokenizer=TOKENIZER,
        block_size=length,
        packing="none",
        test_size=0.1,
    )


def timings(
    folder: Path, length: int, ways: dict[str, str], rounds: int, steps: int
) -> dict[str, Timed]:
    """Steps of every way, each in a process of its own, in turn."""
    worker_file = documents_worker.__file__
    workers = {
        way: Worker(label, [sys.executable, worker_file, way, str(folder), str(length)])
        for way, label in ways.items()
    }
    found = {way: Timed() for way in workers}
    for number in range(rounds + 1):
        for way, worker in workers.items():
            seconds, tokens, positions = worker.ask("steps", steps if number else 1)
            if number:
                found[way].speeds.append(tokens / seconds)
                found[way].tokens += tokens
                found[way].positions += positions
    for way, worker in workers.items():
        found[way].peak = worker.ask("peak")
        worker.close()
    return found


def losses(folder: Path, length: int, documents: int) -> dict[str, float]:
    """The loss on documents that are held out, after each way has seen the same ones once."""
    found = {}
    for way in LABELS:
        command = [sys.executable, documents_worker.__file__, "--loss", way, str(folder)]
        done = subprocess.run(
            [*command, str(length), str(documents)],
            capture_output=True,
            text=True,
            check=True,
            env=environment(None),
        )
        found[way] = json.loads(
            [line for line in done.stdout.splitlines() if line[:1] == "="][-1][1:]
        )
    return found


def table(found: dict[str, Timed], measured: dict[str, float]) -> list[str]:
    """One row for each way."""
    names = ["", "in", "useful tokens/s", "(min - max)", "batches full", "peak memory"]
    names += ["loss after the same documents"] if measured else []
    names += ["times run_mlm.py"]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    speed = {way: statistics.median(timed.speeds) for way, timed in found.items()}
    for way, timed in found.items():
        ours = way not in documents_worker.PEERS
        cells = [
            f"**{LABELS[way]}**" if ours else LABELS[way],
            documents_worker.precision_of(way),
            harness.number(speed[way]),
            f"{harness.number(min(timed.speeds))} - {harness.number(max(timed.speeds))}",
            f"{timed.tokens / timed.positions:.1%}",
            harness.megabytes(timed.peak),
            *([f"{measured[way]:.3f}"] if measured else []),
            f"{speed[way] / speed['script']:,.2f}x",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def attention_cost(rounds: int, steps: int) -> str:
    """What keeping documents apart costs, beside rows whose attention crosses them."""
    shares = []
    ways = {"packed": "apart", "joined": "crossing"}
    for length in ATTENTION_LENGTHS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "store"
            prepare("ELI5 answers", length, folder)
            found = timings(folder, length, ways, rounds, steps)
        apart, crossing = (statistics.median(found[way].speeds) for way in ways)
        shares.append(f"{crossing / apart - 1:+.1%} at {length:,} tokens a row")
    listed = " and ".join(shares)
    return f"A step of packed rows takes, beside one whose attention crosses documents, {listed}."


def main(
    rounds: int = ROUNDS, steps: int = STEPS, documents: int = LOSS_DOCUMENTS, *only: str
) -> list[str]:
    """Run the measurements; the lines of the report."""
    lines = ["## P9 documents (`benches/bench_documents.py`)", ""]
    size = documents_worker.DOCUMENTS
    note = (
        "A RoBERTa of six layers (82 million random weights), one document a row, truncated to the "
        f"length; batches of {size} documents, and packed rows that hold about as many. "
        "run_mlm.py's way is the Trainer with a batch padded to its longest document "
        "(DataCollatorForLanguageModeling). Useful tokens are those that are not padding; batches "
        "are full by the share of their positions with a token. Every way is a Trainer in a "
        f"process of its own, and the processes take turns: a timing is {steps} optimizer steps."
    )
    lines.append(note)
    for key in only or INPUTS:
        name, length = INPUTS[key]
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work) / "store"
            prepare(name, length, folder)
            train = open_splits(folder)["train"]
            found = timings(folder, length, LABELS, rounds, steps)
            with_losses = documents and key == LOSS_INPUT
            measured = losses(folder, length, documents) if with_losses else {}
        mean = train.manifest.fill_rate * length
        about = f"**{name}, {length} tokens a row.** {mean:,.0f} tokens a document on average."
        if measured:
            about += f" Loss: on held-out documents, after {documents} others once, no dropout."
        lines += ["", about, "", *table(found, measured)]
    if not only:
        lines += ["", attention_cost(rounds, steps)]
    return lines


if __name__ == "__main__":
    harness.refuse_debug_build()
    print("\n".join(main(*map(int, sys.argv[1:4]), *sys.argv[4:])))
