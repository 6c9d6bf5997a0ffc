"""P4: text to tokens, beside three versions of the tokenizers library and five young ones."""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import harness
import numpy as np
import pyarrow as pa
from tokenize_input import Family, column, families, texts
from tokenize_peers import installed
from tokenize_ways import CONTENDERS, LIBRARY, OURS, Contender, named
from tokenize_worker import Worker

THREADS = (1, 2)
ROUNDS = int(os.environ.get("MLMFAST_BENCH_ROUNDS", harness.ROUNDS))
# A slow one that needs longer than WHOLE seconds for a text gets only what takes SECONDS.
WHOLE, SECONDS, TRIAL, LEAST = 0.6, 0.2, 200_000, 300_000
NOTE = (
    "MB of text a second: the median of {rounds} rounds, in turn, (slowest - fastest), and in "
    "bold how many times as fast ours is with as many threads. Cold is the first pass of a fresh "
    "encoder over a text, warm its second. Without special tokens. Those that take lists get "
    "Python strings, ours gets Arrow and gives Arrow; what it costs to fetch the ids from the "
    "objects that `tokenizers` gives is not counted. `tokenizers` gets the first part of a text "
    f"(about {SECONDS} s of work, {LEAST / 1e6} MB at least) where it is slow, the others all of "
    "it. Ids are compared with ours, text by text; whoever has others is left out. Peak memory is "
    "that of a first pass over the first text, the tokenizer itself aside."
)


@dataclass
class Cell:
    """What one contender took for one text.

    Attributes:
        size: Bytes of the text that it got.
        cold: Seconds of a fresh encoder, one a round.
        warm: Seconds of the same encoder for the same text again.
        differing: How many texts have other ids than ours.
        texts: How many there were.
    """

    size: int
    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    differing: int = 0
    texts: int = 0

    def speed(self, pass_: str) -> float:
        """MB of text a second, by the median."""
        return self.size / 1e6 / statistics.median(getattr(self, pass_))

    def show(self, pass_: str, ours: Cell | None) -> str:
        """A cell of the table."""
        times = getattr(self, pass_)
        slow, fast = (self.size / 1e6 / pick(times) for pick in (max, min))
        found = (
            f"{harness.number(self.speed(pass_))} ({harness.number(slow)} - {harness.number(fast)})"
        )
        if ours is not None:
            found += f", **{harness.number(ours.speed(pass_) / self.speed(pass_))}x**"
        return found


def main() -> list[str]:
    """Run the measurements; the lines of the report."""
    folders, missing = installed()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = {}
        for number, (text, paragraphs) in enumerate(texts().items()):
            table = pa.table({"text": column(paragraphs)})
            with pa.ipc.new_file(folder / f"text{number}.arrow", table.schema) as file:
                file.write_table(table)
            sizes[text] = sum(len(each.encode()) for each in paragraphs)
        lines = [
            "## P4 tokenize: text to tokens (`benches/bench_tokenize.py`)",
            "",
            NOTE.format(rounds=ROUNDS),
            "",
            "Texts: " + "; ".join(f"{t}, {harness.megabytes(s)}" for t, s in sizes.items()) + ".",
            *missing,
        ]
        for family in families(folder):
            lines += ["", f"### {family.name} ({family.kind})", ""]
            lines += _family(family, folder, sizes, folders)
    return lines


def _family(
    family: Family, folder: Path, sizes: dict[str, int], peers: dict[str, Path]
) -> list[str]:
    chosen = [each for each in CONTENDERS if each.peer is None or each.peer in peers]
    names = [f"{text}, {pass_}" for text in sizes for pass_ in ("cold", "warm")]
    lines = [f"| | threads | {' | '.join(names)} | peak memory |", "|---" * (len(names) + 3) + "|"]
    cache = folder / f"cache of {family.kind}, {family.name}"
    left_out: dict[str, str] = {}
    for threads in THREADS:
        able = [contender for contender in chosen if contender.label not in left_out]
        with _workers(able, family, threads, folder, cache, peers) as started:
            workers = _accepting(started, left_out)
            ready = workers[0].ask("fresh")
            again = workers[0].ask("fresh")
            cells = {}
            for worker in list(workers):
                row = [
                    _first_pass(worker, workers[0], f"text{number}", size)
                    for number, size in enumerate(sizes.values())
                ]
                differing = [(c, text) for c, text in zip(row, sizes, strict=True) if c.differing]
                if differing:
                    of = "; ".join(f"{c.differing:,} of {c.texts:,} ({t})" for c, t in differing)
                    left_out[worker.label] = f"other ids for {of} texts"
                    workers.remove(worker)
                else:
                    cells[worker.label] = row
            for _ in range(ROUNDS):
                for number in range(len(sizes)):
                    for worker in workers:
                        cell = cells[worker.label][number]
                        worker.ask("fresh")
                        cell.cold.append(worker.ask("encode", f"text{number}", cell.size))
                        cell.warm.append(worker.ask("encode", f"text{number}", cell.size))
            peaks = {}
            for worker in workers:
                worker.ask("fresh")
                peaks[worker.label] = worker.ask("peak", "text0", cells[worker.label][0].size)
        for label, row in cells.items():
            ours = [None] * len(row) if label == OURS else cells[OURS]
            shown = [
                cell.show(pass_, other)
                for cell, other in zip(row, ours, strict=True)
                for pass_ in ("cold", "warm")
            ]
            name = {OURS: f"**{label}**", LIBRARY: f"tokenizers {version('tokenizers')}"}.get(
                label, label
            )
            of = f"{harness.megabytes(peaks[label])} for {harness.megabytes(row[0].size)}"
            lines.append(f"| {name} | {threads} | {' | '.join(shown)} | {of} |")
        if threads == THREADS[0]:
            note = (
                f"Made ready in {harness.duration(ready)} the first time, when it is compared with "
                f"the library, and in {harness.duration(again)} from then on."
            )
    if left_out:
        lines += ["", "Left out:", ""]
        lines += [f"- {label}: {reason}." for label, reason in left_out.items()]
    return [note, "", *lines]


def _accepting(workers: list[Worker], left_out: dict[str, str]) -> list[Worker]:
    """Ours, and the others that take the tokenizer; why the rest does not goes to `left_out`."""
    accepting = workers[:1]
    for worker in workers[1:]:
        try:
            refusal = worker.ask("refusal", "text0", TRIAL)
        except RuntimeError as error:
            refusal = str(error)
        if refusal is None:
            accepting.append(worker)
        else:
            left_out[worker.label] = refusal.rstrip(".")
    return accepting


@contextmanager
def _workers(
    chosen: list[Contender],
    family: Family,
    threads: int,
    folder: Path,
    cache: Path,
    peers: dict[str, Path],
) -> Iterator[list[Worker]]:
    """A process for each contender, ours first; ours keeps what it finds out in `cache`."""
    started: list[Worker] = []
    env = {
        **os.environ,
        "XDG_CACHE_HOME": str(cache),
        "RAYON_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false",
    }
    try:
        for contender in chosen:
            path = [str(peers[contender.peer])] if contender.peer else []
            path += filter(None, [os.environ.get("PYTHONPATH")])
            own = {**env, "PYTHONPATH": os.pathsep.join(path)}
            started.append(Worker(contender.label, family.file, threads, folder, own))
        yield started
    finally:
        for worker in started:
            worker.close()


def _first_pass(worker: Worker, ours: Worker, text: str, whole: int) -> Cell:
    """How much of a text a contender gets, by a short trial; and its ids beside ours."""
    allowed = whole
    if named(worker.label).slow:
        worker.ask("encode", text, TRIAL)
        speed = min(TRIAL, whole) / worker.ask("encode", text, TRIAL)
        if whole / speed > WHOLE:
            allowed = min(whole, max(LEAST, int(SECONDS * speed)))
    size = worker.ask("size", text, allowed)
    cell = Cell(size)
    if worker is not ours:
        with (
            np.load(worker.ask("ids", text, size)) as theirs,
            np.load(ours.ask("ids", text, size)) as mine,
        ):
            cell.texts = len(mine["lengths"])
            cell.differing = _differing(dict(mine), dict(theirs))
    return cell


def _differing(mine: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> int:
    """How many texts have other ids."""
    first, second = (
        np.split(each["ids"], np.cumsum(each["lengths"])[:-1]) for each in (mine, theirs)
    )
    return sum(not np.array_equal(a, b) for a, b in zip(first, second, strict=True))


if __name__ == "__main__":
    harness.refuse_debug_build()
    print("\n".join(main()))
