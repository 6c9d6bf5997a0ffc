"""P10: sparse vectors of texts, beside sentence-transformers' SparseEncoder.

`python benches/bench_sparse.py --rounds 1 --models splade` tries it. The peer is installed by
`make test-sparse`; without it the section says so.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import sys
import tempfile
from pathlib import Path

from fill_mask_input import BERT_BASE, MODELS, Model, models
from fill_mask_worker import Worker
from tokenize_input import SHARED

ROOT = Path(__file__).parents[1]
PEER = ROOT / ".cache" / "sparse-peer" / "bin" / "python"
WORKER = Path(__file__).with_name("sparse_worker.py")
TEXTS = SHARED / "text" / "eli5_category" / "validation2.jsonl.gz"
BATCH = 32
COUNT = {"questions": 320, "answers": 64}
"""Texts of a timing: titles of questions, and answers."""
CHOICES = ("splade", BERT_BASE)


def main(arguments: list[str] | None = None) -> list[str]:
    """Measure, and return the section's lines."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(CHOICES))
    options = parser.parse_args([] if arguments is None else arguments)
    about = (
        f"Texts of ELI5, {BATCH} in a call, each vector with all its words. Medians of "
        f"{options.rounds} rounds, in turn; texts a second."
    )
    lines = ["## P10 sparse vectors (`benches/bench_sparse.py`)", "", about, ""]
    if not PEER.exists() or not TEXTS.exists():
        return [*lines, "sentence-transformers (`make test-sparse`) or the texts are not here."]
    with tempfile.TemporaryDirectory() as place:
        for model in models(Path(place), options.models):
            lines += [f"**{model.name}**", "", *_table(model, Path(place), options.rounds), ""]
    return lines[:-1]


def _table(model: Model, place: Path, rounds: int) -> list[str]:
    from mlmfast.exporting.export import export

    texts = place / "texts.json"
    texts.write_text(json.dumps(_texts()))
    commands = {"sentence-transformers": [str(PEER), str(WORKER), "peer", str(model.checkpoint)]}
    for precision in ("fp32", "int8"):
        folder = place / f"{model.checkpoint.name}-{precision}"
        export(model.checkpoint, folder, task="sparse", precision=precision, min_agreement=0)
        commands[f"mlmfast, {precision}"] = [sys.executable, str(WORKER), "ours", str(folder)]
    workers = {label: Worker(label, [*command, str(texts)]) for label, command in commands.items()}
    seconds: dict[tuple[str, str], list[float]] = {}
    try:
        for number in range(rounds + 1):
            for name in COUNT:
                for label, worker in workers.items():
                    elapsed = worker.ask("encode", name, BATCH)
                    if number:
                        seconds.setdefault((label, name), []).append(elapsed)
        peaks = {label: worker.ask("peak") for label, worker in workers.items()}
        shares = {
            label: worker.ask("words", "questions", BATCH) for label, worker in workers.items()
        }
    finally:
        for worker in workers.values():
            worker.close()
    theirs = next(iter(workers))
    lines = [
        "| | " + " | ".join(f"{name} | ratio" for name in COUNT) + " | words a text | peak |",
        "|---" * (2 * len(COUNT) + 3) + "|",
    ]
    for label in workers:
        cells = []
        for name, count in COUNT.items():
            own = statistics.median(seconds[label, name])
            peer = statistics.median(seconds[theirs, name])
            cells += [f"{count / own:,.1f}", "" if label == theirs else f"{peer / own:.2f}x"]
        megabytes = f"{peaks[label] / 1e6:,.0f} MB"
        lines.append(f"| {label} | {' | '.join(cells)} | {shares[label]:.1f} | {megabytes} |")
    return lines


def _texts() -> dict[str, list[str]]:
    with gzip.open(TEXTS, "rt", encoding="utf-8") as lines:
        entries = [json.loads(line) for line in lines]
    answers = [text for entry in entries for text in entry["answers"]["text"]]
    return {
        "questions": [entry["title"] for entry in entries[: COUNT["questions"]]],
        "answers": answers[: COUNT["answers"]],
    }


if __name__ == "__main__":
    print("\n".join(main(sys.argv[1:])))
