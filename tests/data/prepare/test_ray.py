"""`engine="ray"` on a cluster of two nodes, both on this machine."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys

import pytest

from corpus import documents, jsonl, tiny_tokenizer
from mlmfast.data.prepare.api import prepare
from prepare_runs import files_of
from ray_programs import begun, prepare_on_ray

TEXTS = documents(1500, seed=7)


@pytest.fixture(scope="module")
def cluster(one_cluster, tmp_path_factory):  # noqa: ARG001 (held meanwhile)
    """The address of a cluster."""
    pytest.importorskip("ray", reason="ray is not installed: pip install 'mlmfast[ray]'")
    errors = tmp_path_factory.mktemp("cluster") / "stderr.txt"
    with begun("ray_nodes.py", said="address", errors=errors) as (_, (address,)):
        yield address


@pytest.fixture
def inputs(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    lines = "".join(f"{text}\n" for text in TEXTS)
    (folder / "a.txt").write_text(lines)
    # The same words: near-duplicates that are not equal.
    (folder / "b.jsonl").write_bytes(jsonl(*({"text": f"{text.capitalize()}!"} for text in TEXTS)))
    (folder / "c.txt.gz").write_bytes(gzip.compress(lines.encode()))
    return [str(path) for path in sorted(folder.iterdir())]


OPTIONS = {"block_size": 32, "test_size": 0.2, "shard_tokens": 20_000}


def by_ray(cluster, inputs, output, **options):
    return prepare_on_ray(cluster, inputs, output, tokenizer=tiny_tokenizer(), **options)


def by_one_process(inputs, output, **options):
    return prepare(inputs, output, tokenizer=tiny_tokenizer(), **options)


@pytest.mark.ray
@pytest.mark.parametrize(
    "options",
    [
        {**OPTIONS, "deduplicate": "exact", "shuffle_documents": True},
        {
            **OPTIONS,
            "deduplicate": "near",
            "shuffle_documents": True,
            "filters": "gopher-repetition",
        },
        {**OPTIONS, "packing": "best_fit", "limit": 2000},
    ],
)
def test_two_nodes_write_what_one_process_writes(cluster, tmp_path, inputs, options):
    assert by_ray(cluster, inputs, tmp_path / "ray", **options) is None
    by_one_process(inputs, tmp_path / "local", **options)
    assert files_of(tmp_path / "ray") == files_of(tmp_path / "local")
    # Nothing of the work is left.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "local", "ray"]


@pytest.mark.ray
def test_a_worker_that_is_killed_changes_nothing(cluster, tmp_path, inputs):
    options = {**OPTIONS, "deduplicate": "near", "shard_tokens": 5000}
    assert by_ray(cluster, inputs, tmp_path / "ray", killed=True, **options) is None
    killed = sorted(path.name for path in tmp_path.glob("killed-*"))
    assert killed == ["killed-sharding.write_part", "killed-tokenize.tokenize_unit"]
    by_one_process(inputs, tmp_path / "local", **options)
    assert files_of(tmp_path / "ray") == files_of(tmp_path / "local")


@pytest.mark.ray
def test_errors_of_tasks_are_ours(cluster, tmp_path):
    lines = [b"some words\n"] * 3000
    lines[2345] = b"caf\xe9\n"
    (tmp_path / "bad.txt").write_bytes(b"".join(lines))
    # Again and again, since the other tasks end at any moment of the end of the first.
    error = by_ray(cluster, tmp_path / "bad.txt", tmp_path / "out", times=10)
    assert error["type"] == "InputError"
    assert re.search(r"bad\.txt, line 2,346: invalid UTF-8", error["message"])
    error = by_ray(cluster, tmp_path / "bad.txt", tmp_path / "out", threads=50)
    assert error["type"] == "InputError"
    assert "--threads 50 is more than the 1 CPUs" in error["message"]
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
