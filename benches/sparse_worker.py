"""A contender of P10 in a process of its own, which does what it is told, one line at a time.

`python benches/sparse_worker.py WAY FOLDER TEXTS` loads a model and answers each command on
standard input, a list in JSON, by a line of JSON: `["encode", NAME, BATCH]` encodes all texts of
that name (seconds), `["words", NAME, BATCH]` too (mean words of a vector), `["peak"]` tells the
most memory so far (bytes). It imports nothing of the other benches: the peer has other packages.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def ours(folder: str) -> Callable[[list[str], int], Any]:
    """mlmfast: a call for each batch, as Arrow columns."""
    from mlmfast import SparseEncoder

    encoder = SparseEncoder(folder, device="cpu")
    return lambda texts, _batch: encoder(texts, returns="arrow")


def peer(folder: str) -> Callable[[list[str], int], Any]:
    """sentence-transformers: sparse tensors."""
    from sentence_transformers import SparseEncoder

    encoder = SparseEncoder(folder, device="cpu")
    return lambda texts, batch: encoder.encode(texts, batch_size=batch, show_progress_bar=False)


def words(vectors: Any) -> int:
    """How many words vectors have together."""
    if hasattr(vectors, "field"):
        return len(vectors.field("ids").flatten())
    return int((vectors.coalesce().values() > 0).sum())


def main(way: str, folder: str, file: str) -> None:
    """Do what standard input says."""
    texts = json.loads(Path(file).read_text())
    encode = {"ours": ours, "peer": peer}[way](folder)
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        if command == "peak":
            answer: Any = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        else:
            name, batch = arguments
            given = texts[name]
            calls = [given[start : start + batch] for start in range(0, len(given), batch)]
            started = time.perf_counter()
            found = [encode(call, batch) for call in calls]
            elapsed = time.perf_counter() - started
            answer = elapsed if command == "encode" else sum(map(words, found)) / len(given)
        print("=" + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
