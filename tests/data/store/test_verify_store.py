"""Damaged stores: named by `verify`, not handed on by `convert`, not trained on."""

from __future__ import annotations

import json
import shutil
import sys

import pyarrow as pa
import pytest

import mlmfast
from corpus import documents, tiny_tokenizer
from mlmfast.cli import main
from mlmfast.data.prepare.api import prepare
from mlmfast.data.store.store import BlockStore
from mlmfast.data.store.verification.verify import verify
from mlmfast.errors import NotFoundError, StoreError

PAGE = 4096


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store with splits, whose files are of several pages and but for the last of one size."""
    path = tmp_path_factory.mktemp("verify") / "blocks"
    prepare(
        pa.array(documents(2500)), path, tokenizer=tiny_tokenizer(), block_size=16, test_size=0.2,
        shard_tokens=12_000, packing="none",
    )  # fmt: skip
    return path


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "blocks")


def shards(split):
    return BlockStore.open(split).manifest.shards


def change(path, change_bytes):
    data = bytearray(path.read_bytes())
    change_bytes(data)
    path.write_bytes(data)


def flip_a_bit(split):
    """In the middle of a file, where opening does not look."""
    shard = shards(split)[0]
    assert shard.bytes > 4 * PAGE  # opening reads one at either end

    def flip(data):
        data[shard.bytes // 2] ^= 16

    change(split / shard.file, flip)
    return [shard.file]


def zero_a_page(split):
    shard = shards(split)[0]

    def clear(data):
        data[2 * PAGE : 3 * PAGE] = bytes(PAGE)

    change(split / shard.file, clear)
    return [shard.file]


def swap_shards(split):
    """Two files of equal size, so that only their content tells."""
    first, second = (split / shard.file for shard in shards(split)[:2])
    assert first.stat().st_size == second.stat().st_size
    first.rename(split / "aside")
    second.rename(first)
    (split / "aside").rename(second)
    return [first.name, second.name]


def cut_off(split):
    shard = shards(split)[1]
    (split / shard.file).write_bytes((split / shard.file).read_bytes()[:-100])
    return [shard.file]


def remove_a_shard(split):
    shard = shards(split)[1]
    (split / shard.file).unlink()
    return [shard.file]


def foreign_tokenizer(split):
    content = json.loads((split / "tokenizer.json").read_text())
    (split / "tokenizer.json").write_text(json.dumps({**content, "truncation": None}))
    return ["tokenizer.json"]


def no_tokenizer(split):
    (split / "tokenizer.json").unlink()
    return ["tokenizer.json"]


def other_order_for_datasets(split):
    content = json.loads((split / "state.json").read_text())
    content["_data_files"].reverse()
    (split / "state.json").write_text(json.dumps(content))
    return ["state.json"]


def no_checksum(split):
    content = json.loads((split / "mlmfast.json").read_text())
    del content["checksum"]
    (split / "mlmfast.json").write_text(json.dumps(content))
    return ["mlmfast.json"]


DAMAGES = [
    flip_a_bit, zero_a_page, swap_shards, cut_off, remove_a_shard, foreign_tokenizer, no_tokenizer,
    other_order_for_datasets, no_checksum,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_kind_of_damage_is_named_and_not_handed_on(copy, tmp_path, damage):
    assert verify(copy).damage == []
    names = damage(copy / "train")
    found = verify(copy).damage
    assert len(found) == len(names)
    for name, sentence in zip(sorted(names), sorted(found), strict=True):
        assert f"{copy / 'train' / name}" in sentence
    for to in ("parquet", "raw"):
        with pytest.raises(StoreError, match="train"):
            mlmfast.convert(copy, tmp_path / "out", to=to)
    with pytest.raises(StoreError, match="train"):
        mlmfast.convert(copy, tmp_path / "out", to="store", tokenizer=tiny_tokenizer())
    assert not (tmp_path / "out").exists()
    with pytest.raises(StoreError, match="train"):
        BlockStore.open(copy / "train").verify()
    BlockStore.open(copy / "test").verify()


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", list(map(str, ["mlmfast", *arguments])))
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, *capsys.readouterr()


def test_the_command(copy, monkeypatch, capsys):
    status, out, _ = run(monkeypatch, capsys, "verify", copy)
    assert status == 0
    assert out.startswith("Whole ")
    assert "(train) and" in out
    assert run(monkeypatch, capsys, "verify", copy / "test", "--quiet") == (0, "", "")
    status, out, _ = run(monkeypatch, capsys, "verify", copy, "--json")
    told = json.loads(out)
    assert (status, told["whole"], list(told["blocks"])) == (0, True, ["train", "test"])
    size = sum(shard.bytes for split in ("train", "test") for shard in shards(copy / split))
    assert told["bytes"] == size
    flip_a_bit(copy / "train")
    no_tokenizer(copy / "test")
    for more in ([], ["--quiet"], ["--json"]):
        status, out, err = run(monkeypatch, capsys, "verify", copy, *more)
        assert status == 2
        assert "was changed after it was written" in err
        assert "tokenizer.json' is gone" in err
        assert "Traceback" not in err
        if more == ["--json"]:
            assert [json.loads(out)["whole"], len(json.loads(out)["damage"])] == [False, 2]
        else:
            assert out == ""


def test_what_is_no_store_is_said(tmp_path, monkeypatch, capsys):
    with pytest.raises(NotFoundError, match="no such folder"):
        verify(tmp_path / "gone")
    status, _, err = run(monkeypatch, capsys, "verify", tmp_path)
    assert status == 2
    assert "no block store" in err


def test_the_help_begins_with_an_example(monkeypatch, capsys):
    status, out, _ = run(monkeypatch, capsys, "verify", "--help")
    assert status == 0
    assert out.startswith("Example:\n  mlmfast verify blocks/")


@pytest.mark.parametrize("split", ["train", "test"])
def test_training_and_measuring_verify_where_they_are_told_to(
    copy, tmp_path, monkeypatch, capsys, split
):
    """Before a model is looked for: here is none."""
    flip_a_bit(copy / split)
    train = ["train", copy, "--model", tmp_path / "model", "--output", tmp_path / "out"]
    status, _, err = run(monkeypatch, capsys, *train, "--use-cpu")
    assert (status, "model" in err, "checksum" in err) == (2, True, False)
    status, _, err = run(monkeypatch, capsys, *train, "--use-cpu", "--verify-store")
    assert (status, "checksum" in err) == (2, True)
    evaluate = ["evaluate", tmp_path / "model", "--data", copy / split]
    for more in ([], ["--against", tmp_path / "other"]):
        status, _, err = run(monkeypatch, capsys, *evaluate, *more, "--verify-store")
        assert (status, "checksum" in err) == (2, True)
