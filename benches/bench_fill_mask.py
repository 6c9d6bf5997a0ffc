"""P6: fill-mask, alone and in bulk, beside the pipeline, Optimum, OpenVINO and faster-clip.

`python benches/bench_fill_mask.py --rounds 1 --starts 1 --models splade --lengths 16` tries it;
`make bench BENCH=bench_fill_mask` takes the same from the variable MLMFAST_BENCH_FILL_MASK.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import harness
from fill_mask_input import LENGTHS, LONE_TEXTS, MODELS, Model, models, write_texts
from fill_mask_ways import BATCHES, Way, ways
from fill_mask_worker import Worker, environment
from gemm_peak import gemm_peak

LONE_SECONDS = 0.3
"""What a timing of single texts takes at least."""
STARTS = 3
ROUNDS = 3
"""A round takes minutes."""


@dataclass
class Timed:
    """A way's timings of one group of texts.

    Attributes:
        batch: Texts a batch; None where it is not ours to choose.
        seconds: Each round's, for one text or for all.
    """

    batch: int | None
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)


def lone(workers: dict[str, Worker], name: str, rounds: int) -> dict[str, Timed]:
    """Seconds a text, one at a time, the ways in turn."""
    calls = {}
    for label, worker in workers.items():
        worker.ask("lone", name, LONE_TEXTS)
        seconds = LONE_TEXTS * worker.ask("lone", name, LONE_TEXTS)
        calls[label] = LONE_TEXTS * math.ceil(LONE_SECONDS / seconds)
    timed = {label: Timed(1) for label in workers}
    for _ in range(rounds):
        for label, worker in workers.items():
            timed[label].seconds.append(worker.ask("lone", name, calls[label]))
    return timed


def bulk(workers: dict[str, Worker], ours: set[str], name: str, rounds: int) -> dict[str, Timed]:
    """Seconds for all the texts, the peers at the batch size that is the fastest in a trial."""
    timed = {}
    for label, worker in workers.items():
        sizes = (0,) if label in ours else BATCHES
        trial = {size: worker.ask("bulk", name, size) for size in sizes}
        timed[label] = Timed(min(trial, key=lambda size: trial[size]) or None)
    for _ in range(rounds):
        for label, worker in workers.items():
            seconds = worker.ask("bulk", name, timed[label].batch or 0)
            timed[label].seconds.append(seconds)
    return timed


def table(
    found: dict[str, dict[str, Timed]],
    texts: dict[str, int],
    flops: dict[str, int],
    peak: float,
    ours: Sequence[str],
) -> list[str]:
    """One row for each length and way.

    Args:
        found: Length -> way -> timings of the group.
        texts: Length -> texts that a timing stands for.
        flops: Length -> useful FLOPs of these texts.
        peak: FLOP/s of the machine.
        ours: Labels of our ways.
    """
    names = ["tokens", "", "batch", "a text takes", "(min - max)", "texts/s", "of the peak"]
    names += [f"{label} is" for label in ours]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for length, timed in found.items():
        count = texts[length]
        for label, each in timed.items():
            low, high = min(each.seconds) / count, max(each.seconds) / count
            cells = [
                length,
                f"**{label}**" if label in ours else label,
                str(each.batch or ""),
                harness.duration(each.median / count),
                f"{harness.duration(low)} - {harness.duration(high)}",
                harness.number(count / each.median),
                f"{flops[length] / each.median / peak:.0%}",
                *("" if label == o else f"{each.median / timed[o].median:,.2f}x" for o in ours),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def agreement(workers: dict[str, Worker], name: str, batches: dict[str, int]) -> list[str]:
    """How far each way's answers lie from the pipeline's, over one group of texts."""
    answers = {
        label: worker.ask("answers", name, batches.get(label, 0))
        for label, worker in workers.items()
    }
    first, *others = answers
    lines = [
        "| | first tokens equal | all five equal, in order | largest difference of a score |",
        "|---|---|---|---|",
    ]
    for label in others:
        pairs = list(zip(answers[first], answers[label], strict=True))
        top = sum(theirs[0][0] == mine[0][0] for theirs, mine in pairs)
        whole = sum(theirs[0] == mine[0] for theirs, mine in pairs)
        # Of tokens that both name: a score is compared with that of the same token.
        gaps = [
            abs(score - known[token])
            for (ids, scores), mine in pairs
            for known in [dict(zip(ids, scores, strict=True))]
            for token, score in zip(*mine, strict=True)
            if token in known
        ]
        lines.append(
            f"| {label} | {top} of {len(pairs)} | {whole} of {len(pairs)} | "
            f"{max(gaps, default=float('nan')):.1e} |"
        )
    return lines


def first_answers(found: list[Way], text: str, starts: int) -> dict[str, list[float]]:
    """Seconds of whole processes that load a model, answer one text and end; the ways in turn."""
    seconds: dict[str, list[float]] = {way.label: [] for way in found}
    for number in range(starts + 1):
        for way in found:
            start = time.perf_counter()
            subprocess.run(
                [*way.once, text], capture_output=True, check=True, env=environment(way.path)
            )
            if number:  # the first one reads the files from disk
                seconds[way.label].append(time.perf_counter() - start)
    return seconds


def peaks(
    found: list[Way], texts: Path, name: str, batches: dict[str, int], starts: int
) -> dict[str, list[int]]:
    """Bytes of resident memory at the most, of processes that answer one group of texts."""
    memory: dict[str, list[int]] = {way.label: [] for way in found}
    for _ in range(starts):
        for way in found:
            worker = way.start(texts)
            worker.ask("bulk", name, batches.get(way.label, 0))
            memory[way.label].append(worker.ask("peak"))
            worker.close()
    return memory


def report(
    model: Model, folder: Path, rounds: int, lengths: dict[str, tuple[int, int]], starts: int
) -> list[str]:
    """Everything about one model."""
    began = time.perf_counter()
    folder.mkdir()
    file = folder / "texts.json"
    flops = write_texts(model, file, lengths)
    groups = json.loads(file.read_bytes())
    counts = {name: len(group) for name, group in groups.items()}
    found, left_out = ways(model, folder)
    ours = [way.label for way in found if way.ours]
    before = gemm_peak()
    workers = {way.label: way.start(file) for way in found}
    lone_times = {name: lone(workers, f"lone {name}", rounds) for name in lengths}
    bulk_times = {name: bulk(workers, set(ours), f"bulk {name}", rounds) for name in lengths}
    last = list(lengths)[-1] if "128" not in lengths else "128"
    batches = {label: each.batch for label, each in bulk_times[last].items() if each.batch}
    compared = list(lengths)[min(1, len(lengths) - 1)]
    equal = agreement(workers, f"bulk {compared}", batches)
    for worker in workers.values():
        worker.close()
    peak, which = max(before, gemm_peak())
    seconds = first_answers(found, groups[f"lone {next(iter(lengths))}"][0], starts)
    memory = peaks(found, file, f"bulk {last}", batches, starts)
    amounts = ", ".join(f"{counts[f'bulk {name}']} texts of {name}" for name in lengths)
    one = {name: flops[f"lone {name}"] // counts[f"lone {name}"] for name in lengths}
    return [
        f"### {model.name}",
        "",
        f"The peak: {peak / 1e9:,.0f} GFLOP/s in fp32 ({which}).",
        *left_out,
        "",
        "One text at a time:",
        "",
        *table(lone_times, dict.fromkeys(lengths, 1), one, peak, ours),
        "",
        f"In bulk, {amounts} tokens:",
        "",
        *table(
            bulk_times,
            {name: counts[f"bulk {name}"] for name in lengths},
            {name: flops[f"bulk {name}"] for name in lengths},
            peak,
            ours,
        ),
        "",
        f"Answers beside those of the first, over the texts of {compared} tokens:",
        "",
        *equal,
        "",
        (
            f"Whole processes, {starts} of each, from the start to the answer of one text; and the "
            "most resident memory of processes, libraries and all, that answer the texts of "
            f"{last} tokens in bulk:"
        ),
        "",
        "| | to the first answer | (min - max) | peak memory | (min - max) |",
        "|---|---|---|---|---|",
        *(
            f"| {label} | {harness.duration(statistics.median(times))} | "
            f"{harness.duration(min(times))} - {harness.duration(max(times))} | "
            f"{harness.megabytes(statistics.median(memory[label]))} | "
            f"{harness.megabytes(min(memory[label]))} - {harness.megabytes(max(memory[label]))} |"
            for label, times in seconds.items()
        ),
        "",
        f"All this took {(time.perf_counter() - began) / 60:.0f} minutes.",
        "",
    ]


def settings(given: Sequence[str]) -> argparse.Namespace:
    """Read what is to be measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="timings of each amount")
    parser.add_argument("--starts", type=int, default=STARTS, help="processes of each way")
    parser.add_argument("--lengths", nargs="+", choices=LENGTHS, default=[*LENGTHS])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=[*MODELS])
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> list[str]:
    """Run the measurements; the lines of the report.

    Args:
        given: Settings; None: those of the variable MLMFAST_BENCH_FILL_MASK.
    """
    if given is None:
        given = shlex.split(os.environ.get("MLMFAST_BENCH_FILL_MASK", ""))
    wanted = settings(given)
    rounds = wanted.rounds
    chosen = {name: LENGTHS[name] for name in LENGTHS if name in wanted.lengths}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sections = [
            line
            for number, model in enumerate(models(folder, wanted.models))
            for line in report(model, folder / f"model-{number}", rounds, chosen, wanted.starts)
        ]
    note = (
        "Random words around one mask, of so many tokens with the special ones. Every way has a "
        f"process of its own, and the processes take turns, {rounds} rounds. The peers answer in "
        f"bulk at the batch size ({', '.join(map(str, BATCHES))}) that was the fastest in a trial. "
        "'Of the peak' is "
        "the share that the useful arithmetic (no padding; the head and the last layer's "
        "feed-forward at the mask alone) has of what the machine does in matrix products of fp32; "
        "int8 may pass it."
    )
    return ["## P6 fill-mask (`benches/bench_fill_mask.py`)", "", note, "", *sections]


if __name__ == "__main__":
    harness.refuse_debug_build()
    print("\n".join(main(sys.argv[1:])))
