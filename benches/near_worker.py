"""A peer of P4c in a process of its own, with packages of its own.

`python near_worker.py datatrove|rensa WORKERS FOLDER FILE...` finds the near-duplicates of JSON
lines and prints its seconds and the numbers of the documents that it would remove, as JSON.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import numpy as np

NGRAM, THRESHOLD, BANDS, ROWS = 5, 0.8, 14, 8


def datatrove(workers: int, folder: Path, files: list[Path]) -> list[int]:
    """The pipeline of datatrove's example, up to the lists of what to remove."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import (
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
    )
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.utils.logging import logger

    logger.remove()
    config = MinhashConfig(n_grams=NGRAM, num_buckets=BANDS, hashes_per_bucket=ROWS)
    signatures, buckets, removed = (str(folder / name) for name in ("keys", "pairs", "removed"))
    stages = [
        (
            [JsonlReader(str(files[0].parent)), MinhashDedupSignature(signatures, config)],
            len(files),
        ),
        ([MinhashDedupBuckets(signatures, buckets, config=config)], BANDS),
        ([MinhashDedupCluster(buckets, removed, config=config)], 1),
    ]
    for number, (pipeline, tasks) in enumerate(stages):
        LocalPipelineExecutor(
            pipeline,
            tasks=tasks,
            workers=min(workers, tasks),
            logging_dir=str(folder / f"log{number}"),
        ).run()
    numbers, first = [], 0
    for rank, file in enumerate(files):
        path = folder / "removed" / f"{rank:06d}.remove"
        if path.exists():
            numbers += (np.fromfile(path, "<u4").astype(int) + first).tolist()
        with file.open("rb") as lines:
            first += sum(1 for _ in lines)
    return numbers


def rensa(_workers: int, _folder: Path, files: list[Path]) -> list[int]:
    """Its deduplicator over word n-grams, which are made in Python, as its interface has it."""
    from rensa import RMinHashDeduplicator

    def documents() -> list[tuple[str, list[str]]]:
        found = []
        for file in files:
            with file.open("rb") as lines:
                for line in lines:
                    words = re.findall(r"\w+", json.loads(line)["text"].lower())
                    count = max(1, len(words) - NGRAM + 1)
                    grams = [" ".join(words[at : at + NGRAM]) for at in range(count)]
                    found.append((str(len(found)), grams))
        return found

    finder = RMinHashDeduplicator(threshold=THRESHOLD, num_perm=128, use_lsh=True)
    kept = finder.add_pairs(documents())
    return [number for number, keep in enumerate(kept) if not keep]


def main(peer: str, workers: str, folder: str, *files: str) -> None:
    """Measure one call."""
    # What a peer imports is not what it is measured by.
    run = {"datatrove": datatrove, "rensa": rensa}[peer]
    __import__("datatrove.pipeline.dedup" if peer == "datatrove" else "rensa")
    start = time.perf_counter()
    numbers = run(int(workers), Path(folder), [Path(file) for file in files])
    print(json.dumps({"seconds": time.perf_counter() - start, "removed": numbers}))


if __name__ == "__main__":
    main(*sys.argv[1:])
