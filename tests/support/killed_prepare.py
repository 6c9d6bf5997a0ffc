"""Run `prepare` and die in the middle: `python killed_prepare.py WHERE COUNT OPTIONS`.

WHERE names a function of the run; the process is killed, as by `kill -9`, when that is called for
the COUNT-th time, before it does anything. OPTIONS is JSON: inputs, output and options.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

from mlmfast.data.prepare import run as prepare_run
from mlmfast.data.prepare import shuffle as prepare_shuffle
from mlmfast.data.prepare.checkpoint import CheckpointFile
from mlmfast.data.prepare.near import segments
from mlmfast.data.prepare.near.search import NearSearch
from mlmfast.data.prepare.near.segments import Segments
from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.data.prepare.shuffle import ExternalShuffle
from mlmfast.data.prepare.split_writer import SplitWriter
from mlmfast.data.sources.base import ReadOptions
from mlmfast.data.store.writer import StoreWriter
from mlmfast.data.tokenization.encoder import TextEncoder

PLACES = {
    "encode": (TextEncoder, "encode"),  # in the thread that tokenizes
    "write": (StoreWriter, "_write"),  # shards, and what is left
    "save": (CheckpointFile, "save"),  # a shard is finished, and nothing tells of it
    "spill": (ExternalShuffle, "_write"),
    "segment": (Segments, "write"),
    "cluster": (NearSearch, "_cluster"),
    "close": (SplitWriter, "close"),
    "rename": (Path, "rename"),  # shards get their last names; then the folder does
    "replace": (Path, "replace"),  # the state of before is there
}


def die_at(where: str, count: int) -> None:
    owner, name = PLACES[where]
    real = getattr(owner, name)
    calls = []

    def counted(*args, **kwargs):
        calls.append(1)
        if len(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    setattr(owner, name, counted)


def main() -> None:
    where, count, given = sys.argv[1:]
    options = json.loads(given)
    inputs, output = options.pop("inputs"), options.pop("output")
    batch_bytes = options.pop("batch_bytes")
    prepare_run.ReadOptions = partial(ReadOptions, batch_bytes=batch_bytes)
    prepare_shuffle._BUFFER_BYTES = segments.SEGMENT_BYTES = batch_bytes
    die_at(where, int(count))
    prepare_run.run_prepare(inputs, output, PrepareOptions(**options))


if __name__ == "__main__":
    main()
