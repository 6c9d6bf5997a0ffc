"""What a killed `prepare` left behind was damaged before it is called again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mlmfast.data.prepare import shuffle as prepare_shuffle
from mlmfast.data.prepare.checkpoint import CheckpointFile
from mlmfast.errors import StoreError
from prepare_runs import SHUFFLED, SPLIT, files_of, hidden, inputs, interrupted, run, small_batches  # noqa: F401 (fixtures)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-9])


def grow(path):
    path.write_bytes(2 * path.read_bytes())


DAMAGES = [Path.unlink, flip_a_bit, truncate, grow]


@pytest.fixture
def small_buckets(monkeypatch):
    monkeypatch.setattr(prepare_shuffle, "_BUCKET_BYTES", 4000)
    monkeypatch.setattr(prepare_shuffle, "_BUFFER_BYTES", 2000)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("needed", [True, False], ids=["needed", "done with"])
@pytest.mark.usefixtures("small_buckets")
def test_shuffled_documents_that_are_damaged_are_read_once_more(
    inputs, tmp_path, interrupted, caplog, damage, needed
):
    """The finished shards are kept; buckets that are done with are not looked at."""
    interrupted(**SHUFFLED)
    buckets = sorted((tmp_path / ".out.partial-prepare" / "shuffled").iterdir())
    assert len(buckets) > 4
    damage(buckets[-1 if needed else 0])
    report = run(inputs, tmp_path / "out", **SHUFFLED)
    assert report.kept_shards > 0
    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert ["reading the text once more" in message for message in warned] == [True] * needed
    run(inputs, tmp_path / "whole", **SHUFFLED)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
    assert hidden(tmp_path) == []


@pytest.mark.usefixtures("small_buckets")
def test_text_that_is_read_once_more_is_gone_on_with_again(inputs, tmp_path, interrupted):
    interrupted(**SHUFFLED)
    for bucket in (tmp_path / ".out.partial-prepare" / "shuffled").iterdir():
        flip_a_bit(bucket)
    interrupted(after=10, **SHUFFLED)
    report = run(inputs, tmp_path / "out", **SHUFFLED)
    assert report.kept_shards > 0
    run(inputs, tmp_path / "whole", **SHUFFLED)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


@pytest.mark.usefixtures("small_buckets")
def test_shuffled_documents_that_are_damaged_meanwhile_are_an_error(inputs, tmp_path, monkeypatch):
    real = CheckpointFile.save

    def save(self, *arguments):
        real(self, *arguments)
        flip_a_bit(max((tmp_path / ".out.partial-prepare" / "shuffled").iterdir()))

    monkeypatch.setattr(CheckpointFile, "save", save)
    with pytest.raises(StoreError, match="is not what was written"):
        run(inputs, tmp_path / "out", **SHUFFLED)
    assert not (tmp_path / "out").exists()


def flip_the_first_bit(path):
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


def keep_a_little(path):
    path.write_bytes(path.read_bytes()[:40])


@pytest.mark.parametrize("damage", [Path.unlink, flip_the_first_bit, keep_a_little])
def test_known_texts_that_are_damaged_begin_anew(inputs, tmp_path, interrupted, caplog, damage):
    interrupted(**SPLIT)
    damage(tmp_path / ".out.partial-prepare" / "seen.bin")
    assert run(inputs, tmp_path / "out", **SPLIT).kept_shards == 0
    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert ["seen.bin" in message and "Starting over" in message for message in warned] == [True]
    run(inputs, tmp_path / "whole", **SPLIT)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


@pytest.mark.parametrize("more", [SPLIT, SHUFFLED], ids=["split", "shuffled"])
def test_the_disk_has_what_the_state_names(inputs, tmp_path, monkeypatch, more):
    """A power cut at any moment leaves no state that tells of files whose content is not there."""
    synced, states = {}, []
    fsync, replace = os.fsync, Path.replace

    def noted(descriptor):
        fsync(descriptor)
        found = os.fstat(descriptor)
        synced[found.st_ino] = found.st_size

    def checked(path, target):
        if path.name == "state.new":
            content = json.loads(path.read_text())
            states.append(content)
            files = {path: path.stat().st_size}
            for name, split in content["splits"].items():
                pending = split["pending"]
                files[path.parent / pending["file"]] = pending["bytes"]
                for shard in split["writer"]["shards"]:
                    files[path.parent / "output" / name / shard["file"]] = shard["bytes"]
            for bucket in (content["spilled"] or {"files": []})["files"]:
                files[path.parent / "shuffled" / bucket["file"]] = bucket["bytes"]
            if content["mark"] and content["mark"]["seen"]:
                files[path.parent / "seen.bin"] = 16 * content["mark"]["seen"][0]
            for file, size in files.items():
                assert synced.get(file.stat().st_ino, -1) >= size, file.name
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(Path, "replace", checked)
    run(inputs, tmp_path / "out", **more)
    assert len(states) > 3
