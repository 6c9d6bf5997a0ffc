"""Block stores and conversions that are written to URLs: whole, or not there."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

import fsspec
import pytest
from click.testing import CliRunner

from corpus import documents, tiny_tokenizer
from mlmfast.cli.stores.prepare import command
from mlmfast.data.convert.convert import convert
from mlmfast.data.prepare.api import prepare
from mlmfast.data.store.folder import upload_order
from mlmfast.data.store.store import open_splits
from mlmfast.errors import InputError, OutputExistsError, StoreError

URL = "memory://bucket/blocks"


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(f"{text}\n" for text in documents(200)))
    return path


@pytest.fixture(autouse=True)
def memory(tmp_path, monkeypatch):
    """A file system in memory, which fsspec has for tests, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("mlmfast.fs.remote.faults.FIRST_PAUSE", 0.0)
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def run(text, output, **more):
    options = {"tokenizer": tiny_tokenizer(), "block_size": 16, "shard_tokens": 500, **more}
    return prepare(text, output, **options)


def files(system):
    return {name: system.cat_file(name) for name in system.find("/bucket")}


def test_the_store_at_the_url_is_the_one_on_the_disk(text, memory, tmp_path):
    local = run(text, tmp_path / "blocks", test_size=0.2)
    made = run(text, URL, test_size=0.2)
    assert {name: store.location for name, store in made.items()} == {
        "train": f"{URL}/train", "test": f"{URL}/test"
    }  # fmt: skip
    for name, store in local.items():
        assert made[name].fingerprint == store.fingerprint
        assert (made[name][:] == store[:]).all()
    written = {
        f"/bucket/blocks/{path.relative_to(tmp_path / 'blocks')}": path.read_bytes()
        for path in (tmp_path / "blocks").rglob("*") if path.is_file()
    }  # fmt: skip
    assert files(memory) == written
    assert not list((tmp_path / "cache" / "mlmfast" / "uploads").rglob("*.arrow"))


def test_the_command_prints_the_url(text):
    given = [text, "--tokenizer", tiny_tokenizer(), "--block-size", 16, "--output", URL]
    done = CliRunner().invoke(command, [*map(str, given), "--quiet", "--json"])
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert (found["output"], found["splits"]["train"]["path"]) == (URL, URL)


def test_manifests_come_last_and_that_of_train_after_all():
    names = ["train/mlmfast.json", "test/mlmfast.json", "dataset_dict.json", "train/data-0.arrow"]
    ordered = sorted(map(PurePosixPath, names), key=upload_order)
    assert list(map(str, ordered)) == [names[2], names[3], names[1], names[0]]


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_upload_that_fails_leaves_nothing_that_opens(text, memory, monkeypatch, overwrite):
    if overwrite:
        run(text, URL)
    put, puts = memory.put_file, []

    def breaking(source, path, **more):
        puts.append(path)
        if len(puts) > 4:
            raise ConnectionResetError("reset by peer")
        put(source, path, **more)

    monkeypatch.setattr(
        type(memory), "put_file", lambda _self, *args, **more: breaking(*args, **more)
    )
    with pytest.raises(InputError, match=r"cannot be accessed: reset by peer.*nothing opens at"):
        run(text, URL, overwrite=overwrite, seed=1)
    with pytest.raises(StoreError, match="no block store"):
        open_splits(URL)
    monkeypatch.undo()
    monkeypatch.setattr("mlmfast.fs.remote.faults.FIRST_PAUSE", 0.0)
    memory.rm("/bucket", recursive=True)
    assert len(run(text, URL)) > 10


def test_a_run_that_fails_resumes_what_it_had_written(text, monkeypatch, tmp_path):
    from mlmfast.data.prepare import run as prepare_run

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    whole = run(text, tmp_path / "whole")

    def failing(*_args, **_options):
        raise InputError("no more")

    with monkeypatch.context() as patch:
        patch.setattr(prepare_run, "_close", failing)
        with pytest.raises(InputError, match=r"no more.* kept in .*uploads"):
            run(text, URL)
    with pytest.raises(StoreError, match="no block store"):
        open_splits(URL)
    assert run(text, URL).fingerprint == whole.fingerprint


def test_what_is_there_is_replaced_only_if_it_is_ours_and_with_overwrite(text, memory):
    run(text, URL, test_size=0.2)
    with pytest.raises(OutputExistsError, match=r"exists already\. Use --overwrite"):
        run(text, URL)
    run(text, URL, overwrite=True)
    assert not any("/train/" in name for name in files(memory))
    memory.pipe_file("/bucket/other/notes.txt", b"mine")
    with pytest.raises(OutputExistsError, match="did not write"):
        run(text, "memory://bucket/other", overwrite=True)
    with pytest.raises(InputError, match="web servers are for reading"):
        run(text, "https://example.org/blocks")
    with pytest.raises(InputError, match="a folder that all nodes share"):
        run(text, URL, engine="ray")


def test_several_sources(text, memory):
    made = prepare(
        {"a": str(text), "b": [str(text)]}, URL, tokenizer=tiny_tokenizer(), block_size=16
    )
    assert {name: store.location for name, store in made.items()} == {
        "a": f"{URL}/a", "b": f"{URL}/b"
    }  # fmt: skip
    assert memory.exists("/bucket/blocks/b/mlmfast.json")


def test_convert_reads_and_writes_urls(text, memory, tmp_path):
    local = run(text, tmp_path / "blocks")
    run(text, URL)
    there = convert(URL, "memory://bucket/raw", to="raw")
    here = convert(tmp_path / "blocks", tmp_path / "raw", to="raw")
    assert (there.output, there.files) == ("memory://bucket/raw", here.files)
    for name in here.files:
        assert memory.cat_file(f"/bucket/raw/{name}") == (tmp_path / "raw" / name).read_bytes()
    assert len(here.files) == 3
    assert there.blocks == {"train": len(local)}
    with pytest.raises(StoreError, match="no block store at 'memory://bucket/none'"):
        convert("memory://bucket/none", tmp_path / "none", to="raw")
