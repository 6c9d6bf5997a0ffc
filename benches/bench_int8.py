"""P6: int8 beside int8, with how far each one's answers lie from float32's on real text.

`python benches/bench_int8.py --rounds 1 --models splade --lengths 16` tries it;
`make bench BENCH=bench_int8` takes the same from the variable MLMFAST_BENCH_INT8.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import harness
from bench_fill_mask import bulk, lone, table
from fill_mask_input import LENGTHS, LONE_TEXTS, MODELS, Model, models, real_texts, write_texts
from fill_mask_int8 import int8_ways
from fill_mask_worker import Worker
from gemm_peak import gemm_peak

CHOSEN = ("16", "128", "512")
FEWEST = 4
"""Texts in bulk, at least."""
TRAINED = "bert-tiny-splade"
"""The folder of the one model whose weights are not random."""
REAL = "real"
"""The name of the real texts."""
BATCH = 8
"""Of the real texts, for the peers."""
MARGIN = 0.02
"""A best token that leads by this probability should not depend on rounding."""
DEEP = 50
"""Answers a text, in which the reference's best token is looked for."""


def agreement(workers: dict[str, Worker]) -> list[str]:
    """How far each way's answers to the real texts lie from the first way's."""
    answers = {label: worker.ask("answers", REAL, BATCH, DEEP) for label, worker in workers.items()}
    reference, *others = answers
    sure = [scores[0] - scores[1] > MARGIN for _, scores in answers[reference]]
    leads = f"of the {sum(sure)} that lead by {MARGIN}"
    lines = [
        f"| | best token equal | {leads} | mean change of its probability | largest |",
        "|---|---|---|---|---|",
    ]
    for label in others:
        pairs = list(zip(answers[reference], answers[label], strict=True))
        same = [known[0][0] == ids[0] for known, (ids, _) in pairs]
        shifts = [
            abs(known[1][0] - dict(zip(ids, scores, strict=True)).get(known[0][0], 0.0))
            for known, (ids, scores) in pairs
        ]
        firm = [equal for equal, certain in zip(same, sure, strict=True) if certain]
        lines.append(
            f"| {label} | {sum(same)} of {len(same)}, {statistics.mean(same):.1%} | "
            f"{statistics.mean(firm):.1%} | {statistics.mean(shifts):.1e} | {max(shifts):.1e} |"
        )
    return lines


def report(
    model: Model, folder: Path, rounds: int, lengths: dict[str, tuple[int, int]]
) -> list[str]:
    """Everything about one model."""
    ways, left_out = int8_ways(model, folder)
    file = folder / "texts.json"
    flops = write_texts(model, file, lengths, fewest=FEWEST)
    groups = json.loads(file.read_bytes())
    real = model.checkpoint.name == TRAINED
    if real:
        file.write_text(json.dumps({**groups, REAL: real_texts(model)}), encoding="utf-8")
    ours = [way.label for way in ways if way.ours]
    workers = {way.label: way.start(file) for way in ways}
    try:
        compared = agreement(workers) if real else []
        lone_times = {name: lone(workers, f"lone {name}", rounds) for name in lengths}
        bulk_times = {name: bulk(workers, set(ours), f"bulk {name}", rounds) for name in lengths}
    finally:
        for worker in workers.values():
            worker.close()
    peak, which = gemm_peak()
    one = {name: flops[f"lone {name}"] // LONE_TEXTS for name in lengths}
    counts = {name: len(groups[f"bulk {name}"]) for name in lengths}
    amounts = ", ".join(f"{counts[name]} texts of {name}" for name in lengths)
    lines = [f"### {model.name}", "", f"The peak: {peak / 1e9:,.0f} GFLOP/s in fp32 ({which})."]
    lines += [*left_out, ""]
    if compared:
        about = (
            f"Answers to {len(real_texts(model))} beginnings of answers of ELI5 with one masked "
            f"word, in batches of {BATCH} (ours: of its own choice), beside those of the first way:"
        )
        lines += [about, "", *compared, ""]
    lines += ["One text at a time:", ""]
    lines += table(lone_times, dict.fromkeys(lengths, 1), one, peak, ours)
    lines += ["", f"In bulk, {amounts} tokens:", ""]
    of_bulk = {name: flops[f"bulk {name}"] for name in lengths}
    return [*lines, *table(bulk_times, counts, of_bulk, peak, ours), ""]


def main(given: Sequence[str] | None = None) -> list[str]:
    """Run the measurements; the lines of the report.

    Args:
        given: Settings; None: those of the variable MLMFAST_BENCH_INT8.
    """
    if given is None:
        given = shlex.split(os.environ.get("MLMFAST_BENCH_INT8", ""))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="timings of each amount")
    parser.add_argument("--lengths", nargs="+", choices=LENGTHS, default=[*CHOSEN])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=[*MODELS])
    parser.add_argument("--keep", type=Path, help="folder for the models' forms, used again")
    wanted = parser.parse_args(given)
    lengths = {name: LENGTHS[name] for name in LENGTHS if name in wanted.lengths}
    with tempfile.TemporaryDirectory() as name:
        folder = wanted.keep or Path(name)
        sections = [
            line
            for model in models(folder, wanted.models)
            for line in report(
                model, folder / f"forms-{model.checkpoint.name}", wanted.rounds, lengths
            )
        ]
    note = (
        "As P6 fill-mask, in int8. 'int8 weights' are weights of 8 bits alone, with products in "
        "fp32. The others round the activations too: `TorchAoConfig` with a scale a token, Optimum "
        "and mlmfast with one a batch, NNCF with scales calibrated on paragraphs of WikiText-2. "
        "transformers leaves the head in fp32. vLLM uses the torch of this environment, not the "
        "one that it names. Random weights agree on little, so answers are compared with the "
        "trained model alone."
    )
    return ["## P6 int8 (`benches/bench_int8.py`)", "", note, "", *sections]


if __name__ == "__main__":
    harness.refuse_debug_build()
    print("\n".join(main(sys.argv[1:])))
