"""P4c: near-duplicates of JSON lines, beside datatrove and rensa on the same files.

`python benches/bench_near_duplicates.py --bytes 2e6 --rounds 1` tries it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import harness
import numpy as np
from peer_packages import installed
from tokenize_input import english, families

import mlmfast

WORKER = Path(__file__).with_name("near_worker.py")
BYTES = 24_000_000
DOCUMENT_BYTES = 2000
"""About the size of a document, several paragraphs."""
PEER_BYTES = 6_000_000
"""The peers get a part of the files: the slowest takes a minute all the same."""
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
PEERS = (
    (
        "datatrove",
        ("datatrove==0.10.1", "spacy==3.8.18", "regex==2026.11.15", "orjson==3.13.0", "xxhash<4"),
        (1, CORES),
    ),
    ("rensa", ("rensa==0.5.0",), (1,)),
)
"""Name, what pip installs, and with how many processes."""


@dataclass(frozen=True)
class Corpus:
    """Files of JSON lines, and which of their documents are planted near-duplicates.

    Attributes:
        files: Two, for two processes.
        size: Bytes of the texts.
        documents: How many there are.
        planted: Number of a near-duplicate -> its exact similarity to the earlier document.
    """

    files: list[Path]
    size: int
    documents: int
    planted: dict[int, float]


@dataclass(frozen=True)
class Way:
    """One way to find near-duplicates, or to make blocks without them.

    Attributes:
        label: As in the report.
        corpus: What it reads.
        run: Does the work once; its seconds, and the numbers of the documents that it removes.
        peer: Whose it is; None for ours.
    """

    label: str
    corpus: Corpus
    run: Callable[[], tuple[float, list[int]]]
    peer: str | None = None


def ngrams(text: str) -> set[tuple[str, ...]]:
    """The word 5-grams of an English text."""
    words = "".join(c if c.isalnum() else " " for c in text.lower()).split()
    return {tuple(words[at : at + 5]) for at in range(max(1, len(words) - 4))}


def write(folder: Path, size: int) -> Corpus:
    """Write documents of English, a fifth of them an earlier one with some words changed."""
    draw = random.Random(0)
    texts: list[str] = [""]
    for paragraph in english(size):
        if len(texts[-1]) >= DOCUMENT_BYTES:
            texts.append("")
        texts[-1] += ("\n" if texts[-1] else "") + paragraph
    vocabulary = sorted({word for text in texts[:50] for word in text.split()})
    planted: dict[int, float] = {}
    for number in range(1, len(texts)):
        if draw.random() < 0.2:
            original = texts[draw.randrange(number)]
            words = original.split(" ")
            for _ in range(draw.choice([0, 1, 2, 4, 8, 12, 20])):
                words[draw.randrange(len(words))] = draw.choice(vocabulary)
            texts[number] = " ".join(words)
            one, other = ngrams(original), ngrams(texts[number])
            planted[number] = len(one & other) / len(one | other)
    folder.mkdir()
    half = len(texts) // 2
    files = [folder / "0.jsonl", folder / "1.jsonl"]
    for file, part in zip(files, (texts[:half], texts[half:]), strict=True):
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in part), "utf-8")
    return Corpus(files, sum(len(text.encode()) for text in texts), len(texts), planted)


def ours(corpus: Corpus, threads: int | None) -> tuple[float, list[int]]:
    """The search of `prepare` alone: from files to the numbers of the near-duplicates."""
    from mlmfast.data.prepare.near.search import NearSearch
    from mlmfast.data.prepare.options import PrepareOptions
    from mlmfast.data.prepare.reading.prefetching import PrefetchingReader
    from mlmfast.data.sources.base import ReadOptions
    from mlmfast.data.sources.open import open_sources

    options = PrepareOptions(tokenizer="unused", deduplicate="near", threads=threads)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        sources = open_sources([str(file) for file in corpus.files])
        with PrefetchingReader(sources, ReadOptions(), options) as reader:
            search = NearSearch(Path(folder) / "near", options, lambda _: None)
            near = search.run(reader, None, None, lambda _: None)
        numbers = np.arange(corpus.documents, dtype=np.uint64)
        removed = np.flatnonzero(~near.fresh(None, numbers)).tolist()
        near.close()
    return time.perf_counter() - start, removed


def theirs(peer: str, packages: Path, corpus: Corpus, workers: int) -> tuple[float, list[int]]:
    """A peer in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(WORKER), peer, str(workers), folder, *map(str, corpus.files)]
        environment = {**os.environ, "PYTHONPATH": str(packages)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{peer}:\n{done.stderr}")
    result = json.loads(done.stdout.splitlines()[-1])
    return result["seconds"], result["removed"]


def whole(
    corpus: Corpus, tokenizer: Path, deduplicate: str | None, engine: str
) -> tuple[float, list[int]]:
    """`prepare` from the files to a block store."""
    files = [str(file) for file in corpus.files]
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "blocks"
        mlmfast.prepare(files, output, tokenizer=tokenizer, deduplicate=deduplicate, engine=engine)
    return time.perf_counter() - start, []


@contextmanager
def ray_cluster() -> Iterator[None]:
    """Run a cluster of Ray on this machine's cores, which `prepare` finds by itself."""
    import ray

    ray.init(num_cpus=CORES, include_dashboard=False, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()


def peers(corpus: Corpus) -> tuple[list[Way], list[str]]:
    """The peers, and why others are left out."""
    ways, problems = [], []
    for name, requirements, counts in PEERS:
        packages, problem = installed(*requirements)
        if packages is None or problem is not None:
            problems.append(f"{name} is left out: {problem}")
            continue
        for count in counts:
            label = f"{requirements[0].replace('==', ' ')}, {count} process{'es' * (count > 1)}"
            run = partial(theirs, name, packages, corpus, count)
            ways.append(Way(label, corpus, run, name))
    return ways, problems


def main(arguments: list[str] | None = None) -> list[str]:
    """Run the measurements; the lines of the report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bytes", type=float, default=BYTES)
    options = parser.parse_args([] if arguments is None else arguments)
    with tempfile.TemporaryDirectory() as place:
        large = write(Path(place) / "large", int(options.bytes))
        small = write(Path(place) / "small", min(int(options.bytes), PEER_BYTES))
        family = next(f for f in families(Path(place)) if f.kind == "byte-level BPE")
        ways, problems = peers(small)
        for threads in (1, CORES):
            label = f"mlmfast, the search alone, {threads} thread{'s' * (threads > 1)}"
            ways.append(Way(label, large, partial(ours, large, threads)))
        for engine, kind in product(("local", "ray"), (None, "exact", "near")):
            label = f"mlmfast prepare, {f'--deduplicate {kind}' if kind else 'all documents'}"
            label += ", --engine ray" if engine == "ray" else ""
            ways.append(Way(label, large, partial(whole, large, family.file.parent, kind, engine)))
        seconds: dict[str, list[float]] = {way.label: [] for way in ways}
        with ray_cluster():
            for number in range(options.rounds + 1):
                for way in ways:
                    elapsed = way.run()[0]
                    if number:
                        seconds[way.label].append(elapsed)
        agreement = _agreement(small, ways)
    note = (
        f"Documents of English of about {DOCUMENT_BYTES:,} bytes, one in five of them planted: an "
        f"earlier one with up to 20 words changed. Ours: {harness.megabytes(large.size)}, the "
        f"peers: {harness.megabytes(small.size)} of text. 5-grams, and 14 bands of 8 for datatrove "
        "and mlmfast; rensa has 128 hash functions, its own bands and a comparison at 0.8. From "
        "JSON lines to the numbers of what is removed, imports aside; `prepare` from JSON lines to "
        f"blocks of {family.name}. With --engine ray, on a cluster of this machine's {CORES} cores "
        f"that is running already. Medians of {options.rounds} rounds, in turn."
    )
    title = "## P4c near-duplicates of JSON lines (`benches/bench_near_duplicates.py`)"
    return [title, "", note, "", *_table(ways, seconds), "", *agreement, "", *problems]


def _table(ways: list[Way], seconds: dict[str, list[float]]) -> list[str]:
    speed = {way.label: way.corpus.size / statistics.median(seconds[way.label]) for way in ways}
    best = max(speed[way.label] for way in ways if "search" in way.label)
    rows = ["| | speed | the search of mlmfast is |", "|---|---|---|"]
    for way in ways:
        ratio = "" if way.peer is None else f"{harness.number(best / speed[way.label])}x"
        rows.append(f"| {way.label} | {harness.number(speed[way.label] / 1e6)} MB/s | {ratio} |")
    return rows


def _agreement(corpus: Corpus, ways: list[Way]) -> list[str]:
    """What each removes of the small corpus, beside the planted documents."""
    above = {number for number, similarity in corpus.planted.items() if similarity >= 0.8}
    below = set(corpus.planted) - above
    own = set(ours(corpus, None)[1])
    removed = {"mlmfast": own}
    for way in ways:
        if way.peer is not None and way.peer not in removed:
            removed[way.peer] = set(way.run()[1])
    names = (
        f"of {corpus.documents:,} documents",
        "removed",
        f"of {len(above):,} planted at 0.8 or more",
        f"of {len(below):,} planted below",
        "not planted",
        "mlmfast removes too",
    )
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for label, numbers in removed.items():
        sets = (numbers, numbers & above, numbers & below, numbers - set(corpus.planted))
        cells = [f"{len(each):,}" for each in (*sets, numbers & own)]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    harness.refuse_debug_build()
    print("\n".join(main(sys.argv[1:])))
