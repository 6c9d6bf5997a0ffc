"""`engine="ray"` on a cluster of two nodes, both on this machine."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys

import pytest

from corpus import documents, jsonl, tiny_tokenizer
from mlmfast.data.distributed import run
from mlmfast.data.prepare import prepare
from mlmfast.errors import InputError
from ray_programs import begun, environment

pytestmark = pytest.mark.usefixtures("one_cluster")
TEXTS = documents(1500, seed=7)


def files_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    pytest.importorskip("ray", reason="ray is not installed: pip install 'mlmfast[ray]'")
    before = dict(os.environ)
    errors = tmp_path_factory.mktemp("cluster") / "stderr.txt"
    with begun("ray_nodes.py", said="address", errors=errors) as (_, (address,)):
        # Workers find the functions of this file, as the test does.
        os.environ.update(environment(), RAY_ADDRESS=address)
        yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def small_units(monkeypatch):
    monkeypatch.setattr(run, "UNIT_BYTES", 8000)


@pytest.fixture
def inputs(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    lines = "".join(f"{text}\n" for text in TEXTS)
    (folder / "a.txt").write_text(lines)
    (folder / "b.jsonl").write_bytes(jsonl(*({"text": text} for text in TEXTS)))
    (folder / "c.txt.gz").write_bytes(gzip.compress(lines.encode()))
    return [str(path) for path in sorted(folder.iterdir())]


OPTIONS = {"block_size": 32, "test_size": 0.2, "shard_tokens": 20_000}


def by(engine, inputs, output, **options):
    return prepare(inputs, output, tokenizer=tiny_tokenizer(), engine=engine, **options)


@pytest.mark.usefixtures("cluster", "small_units")
@pytest.mark.parametrize("options", [OPTIONS, {**OPTIONS, "packing": "best_fit", "limit": 2000}])
def test_two_nodes_write_what_one_process_writes(tmp_path, inputs, options):
    by("ray", inputs, tmp_path / "ray", **options)
    by("local", inputs, tmp_path / "local", **options)
    assert files_of(tmp_path / "ray") == files_of(tmp_path / "local")
    # Nothing of the work is left.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "local", "ray"]


@pytest.mark.usefixtures("cluster", "small_units")
def test_a_worker_that_is_killed_changes_nothing(tmp_path, inputs, monkeypatch):
    monkeypatch.setattr(run, "tokenize_unit", _Dying("tokens.tokenize_unit", tmp_path, 3))
    monkeypatch.setattr(run, "write_part", _Dying("shards.write_part", tmp_path, 2))
    by("ray", inputs, tmp_path / "ray", **OPTIONS)
    killed = sorted(path.name for path in tmp_path.glob("killed-*"))
    assert killed == ["killed-shards.write_part", "killed-tokens.tokenize_unit"]
    monkeypatch.undo()
    by("local", inputs, tmp_path / "local", **OPTIONS)
    assert files_of(tmp_path / "ray") == files_of(tmp_path / "local")


class _Dying:
    """A task that is killed once, by SIGKILL, when its file is half written."""

    def __init__(self, name, folder, call):
        self._name, self._folder, self._call = name, folder, call

    def __call__(self, job, *args):
        import importlib

        import pyarrow as pa

        module, function = self._name.split(".")
        found = importlib.import_module(f"mlmfast.data.distributed.{module}")
        mark = self._folder / f"killed-{self._name}"
        mine = getattr(args[0], "number", None) == self._call or str(args[0]).endswith(
            f"{self._call:05d}.arrow"
        )
        if mine and not mark.exists():
            for writer in (pa.RecordBatchFileWriter, pa.RecordBatchStreamWriter):

                def write_batch(self, batch, write=writer.write_batch, mark=mark):
                    write(self, batch)
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)

                writer.write_batch = write_batch
        return getattr(found, function)(job, *args)


@pytest.mark.usefixtures("cluster", "small_units")
def test_errors_of_tasks_are_ours(tmp_path):
    lines = [b"some words\n"] * 3000
    lines[2345] = b"caf\xe9\n"
    (tmp_path / "bad.txt").write_bytes(b"".join(lines))
    with pytest.raises(InputError, match=r"bad\.txt, line 2,346: invalid UTF-8") as caught:
        by("ray", tmp_path / "bad.txt", tmp_path / "out")
    assert type(caught.value) is InputError
    with pytest.raises(InputError, match="--threads 50 is more than the 1 CPUs"):
        by("ray", tmp_path / "bad.txt", tmp_path / "out", threads=50)
    assert not (tmp_path / "out").exists()


def test_without_ray_the_extra_is_named(tmp_path):
    code = "import sys; sys.modules['ray'] = None\nfrom mlmfast.cli import main; main()"
    given = ["prepare", "in.txt", "--engine", "ray", "--tokenizer", "t", "--output", "out"]
    done = subprocess.run(
        [sys.executable, "-c", code, *given],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'mlmfast[ray]'" in done.stderr
    assert list(tmp_path.iterdir()) == []
