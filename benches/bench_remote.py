"""P10: text and stores on an S3 server, beside the disk and beside `datasets`.

`python benches/bench_remote.py 1` tries it with one round. The server is moto's, on this machine.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bench_mask
import harness
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import remote_worker

import mlmfast

ROUNDS = 3
SERVER = """
import sys
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
"""Serves until its standard input ends."""
BUCKET = "corpora"
TEXT_MB = 64
LENGTH, BLOCKS, SHARDS = 128, 131_072, 4
BATCHES, PAUSE = 400, 0.02
"""Of a pass, and the seconds after each batch that stand for a step of a training."""


@contextmanager
def server() -> Iterator[Any]:
    """A server with an empty bucket, in a process of its own; yield its client."""
    import boto3

    pipe = subprocess.PIPE
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as process:
        try:
            # It prints the port once it listens, and nothing if it cannot.
            port = int(process.stdout.readline()) if process.stdout else 0
            os.environ |= {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
            }
            client = boto3.client("s3")
            client.create_bucket(Bucket=BUCKET)
            yield client
        finally:
            process.terminate()


def texts(folder: Path) -> Path:
    """JSON lines of random words, and their tokenizer beside them."""
    bench_mask.tokenizer().save_pretrained(folder / "tokenizer")
    words = np.array([f"w{at}" for at in range(4, bench_mask.VOCABULARY - 1)])
    draw = np.random.default_rng(0)
    lines = folder / "texts.jsonl"
    with lines.open("w", encoding="utf-8") as file:
        while file.tell() < TEXT_MB * 1_000_000:
            row = " ".join(words[draw.integers(0, len(words), 300)])
            file.write(json.dumps({"text": row}) + "\n")
    return lines


def store(folder: Path) -> Path:
    """Blocks of random ids in several shards."""
    draw = np.random.default_rng(1)
    ids = draw.integers(4, bench_mask.VOCABULARY - 1, BLOCKS * LENGTH).astype(np.uint16)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(ids), LENGTH)
    pq.write_table(pa.table({"input_ids": lists}), folder / "ids.parquet")
    mlmfast.convert(
        folder / "ids.parquet",
        folder / "blocks",
        to="store",
        tokenizer=folder / "tokenizer",
        block_size=LENGTH,
        shard_tokens=BLOCKS * LENGTH // SHARDS,
    )
    return folder / "blocks"


def upload(client: Any, path: Path) -> str:
    """Put a file, or the files of a folder, into the bucket; return the URL."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    for each in files:
        client.upload_file(str(each), BUCKET, str(each.relative_to(path.parent)))
    return f"s3://{BUCKET}/{path.name}"


def prepares(local: Path, url: str, folder: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of `prepare` from the disk and from the server, in turn."""
    found: dict[str, list[float]] = {"disk": [], "S3": []}
    for number in range(rounds + 1):
        for name, source in (("disk", str(local)), ("S3", url)):
            output = folder / f"prepared-{name}"
            start = time.perf_counter()
            mlmfast.prepare(
                source,
                output,
                tokenizer=folder / "tokenizer",
                block_size=LENGTH,
                special_tokens="none",
                overwrite=True,
            )
            if number:
                found[name].append(time.perf_counter() - start)
    return found


def passes(local: Path, url: str, folder: Path, rounds: int) -> dict[str, list[list[float]]]:
    """What `remote_worker` prints, for each way, in turn."""
    ways = {
        "**mlmfast**, disk": ("mlmfast", str(local), "kept"),
        "**mlmfast**, S3, nothing in the cache": ("mlmfast", url, "new"),
        "**mlmfast**, S3, all in the cache": ("mlmfast", url, "kept"),
        f"`datasets`, S3, streaming, {remote_worker.WORKERS} worker": ("datasets", url, "new"),
    }
    found: dict[str, list[list[float]]] = {label: [] for label in ways}
    for number in range(rounds + 1):
        for label, (way, source, cache) in ways.items():
            with tempfile.TemporaryDirectory(dir=folder) as new:
                home = new if cache == "new" else str(folder / "cache")
                command = [sys.executable, remote_worker.__file__, way, source]
                done = subprocess.run(
                    [*command, str(BATCHES), str(PAUSE)],
                    env=dict(os.environ) | {"XDG_CACHE_HOME": home},
                    stdout=subprocess.PIPE,
                    check=True,
                )
            if number:  # the first round fills the cache that is kept
                found[label].append(json.loads(done.stdout))
    return found


def main(rounds: int = ROUNDS) -> list[str]:
    """Run the measurements; the lines of the report."""
    with tempfile.TemporaryDirectory() as name, server() as client:
        folder = Path(name)
        local = texts(folder)
        url = upload(client, local)
        size = local.stat().st_size
        read = prepares(local, url, folder, rounds)
        blocks = store(folder)
        found = passes(blocks, upload(client, blocks), folder, rounds)
    lines = ["| `prepare` from | speed | (min - max) |", "|---|---|---|"]
    for source, seconds in read.items():
        rates = [size / each / 1e6 for each in seconds]
        spread = f"{min(rates):.0f} - {max(rates):.0f}"
        lines.append(f"| {source} | {statistics.median(rates):.0f} MB/s | {spread} |")
    lines += ["", "| batches from | first batch after | (min - max) | waiting afterwards |"]
    lines.append("|---|---|---|---|")
    for label, results in found.items():
        firsts = [first for first, _, _ in results]
        shares = [waited / whole for _, waited, whole in results]
        lines.append(
            f"| {label} | {harness.duration(statistics.median(firsts))} | "
            f"{harness.duration(min(firsts))} - {harness.duration(max(firsts))} | "
            f"{statistics.median(shares):.1%} of the time |"
        )
    note = (
        f"moto's server, in a process of its own on the same cores. Text: {TEXT_MB} MB of JSON "
        f"lines of words. Blocks: {BLOCKS:,} of {LENGTH} in {SHARDS} files, read in batches of "
        f"{remote_worker.BATCH} by a loop that pauses for {PAUSE * 1000:.0f} ms after each of "
        f"{BATCHES} batches, as for a step. `datasets` shuffles {remote_worker.BUFFER:,} rows at a "
        "time, ours all blocks. Times are from opening the store, imports aside; medians of "
        f"{rounds} rounds, in turn."
    )
    return ["## P10 remote (`benches/bench_remote.py`)", "", note, "", *lines]


if __name__ == "__main__":
    harness.refuse_debug_build()
    print("\n".join(main(*map(int, sys.argv[1:]))))
