"""Runs of `prepare` on small files of all kinds, and runs that die."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus import documents, jsonl, tiny_tokenizer
from mlmfast.data.prepare import run as prepare_run
from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.data.prepare.run import run_prepare
from mlmfast.data.sources.base import ReadOptions
from mlmfast.data.tokenization.encoder import TextEncoder
from places import SUPPORT

TEXTS = documents(300)


SCRIPT = SUPPORT / "killed_prepare.py"


BATCH_BYTES = 300


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(prepare_run, "ReadOptions", partial(ReadOptions, batch_bytes=BATCH_BYTES))


@pytest.fixture
def inputs(tmp_path):
    """The documents, spread over files of all kinds, one document in five twice."""
    folder = tmp_path / "in"
    folder.mkdir()
    texts = [text for n, text in enumerate(TEXTS) for _ in range(1 + (n % 5 == 0))]
    (folder / "a.txt").write_text("\ufeff" + "".join(f"{text}\r\n" for text in texts[:100]))
    records = jsonl(*({"n": 1, "text": text} for text in texts[100:180]), {"n": 2}, {"text": None})
    (folder / "b.jsonl.gz").write_bytes(
        gzip.compress(records[:2000]) + gzip.compress(records[2000:])
    )
    pq.write_table(pa.table({"text": texts[180:240]}), folder / "c.parquet", row_group_size=13)
    (folder / "d.csv").write_text("text\n" + "".join(f'"{text}"\n' for text in texts[240:300]))
    with pa.ipc.new_stream(str(folder / "e.arrow"), pa.schema([("text", pa.string())])) as writer:
        writer.write_table(pa.table({"text": texts[300:]}), max_chunksize=7)
    return sorted(map(str, folder.iterdir()))


def options_of(**more):
    return {
        "tokenizer": tiny_tokenizer(), "block_size": 16, "shard_tokens": 500, "threads": 2, **more,
    }  # fmt: skip


def run(inputs, out, **more):
    return run_prepare(inputs, out, PrepareOptions(**options_of(**more)))


def killed(where, count, inputs, out, **more):
    given = {"inputs": inputs, "output": str(out), "batch_bytes": BATCH_BYTES, **options_of(**more)}
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), where, str(count), json.dumps(given)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert not out.exists()


def files_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def dies(monkeypatch, fault, *, after):
    """Let tokenizing raise `fault` when it is called once more than `after` times."""
    real, calls = TextEncoder.encode, []

    def encode(self, texts):
        calls.append(1)
        if len(calls) > after:
            raise fault
        return real(self, texts)

    monkeypatch.setattr(TextEncoder, "encode", encode)


@pytest.fixture
def interrupted(inputs, tmp_path, monkeypatch):
    """A run that ended by Ctrl-C in the middle: returns what it said."""

    def stop(fault=KeyboardInterrupt, *, after=40, **more):
        with monkeypatch.context() as patch:
            dies(patch, fault() if isinstance(fault, type) else fault, after=after)
            with pytest.raises(BaseException) as caught:  # noqa: PT011 - the fault, or what it became
                run(inputs, tmp_path / "out", **more)
        return str(caught.value)

    return stop


def hidden(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


PLAIN = {}


SPLIT = {"test_size": 0.3, "deduplicate": "exact"}


SHUFFLED = {"test_size": 0.2, "deduplicate": "exact", "shuffle_documents": True}


FITTED = {"packing": "best_fit", "special_tokens": "block"}
