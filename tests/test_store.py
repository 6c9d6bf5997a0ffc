from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from corpus import documents, tiny_tokenizer
from mlmfast.data.prepare import prepare
from mlmfast.data.store import BlockStore, is_store_folder, open_splits
from mlmfast.errors import NotFoundError, StoreError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "blocks"
    texts = pa.array(documents(200))
    prepare(texts, path, tokenizer=tiny_tokenizer(), block_size=16, shard_tokens=1000)
    return path


@pytest.fixture
def store(folder):
    return BlockStore.open(folder)


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def test_blocks_are_what_datasets_reads(store):
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_from_disk(str(store.path))
    assert loaded.features["input_ids"] == datasets.List(datasets.Value("uint16"), length=16)
    everything = np.array(loaded["input_ids"][:], np.uint16)
    assert len(store.manifest.shards) > 3
    assert np.array_equal(store[:], everything)
    assert store.to_datasets().to_dict() == loaded.to_dict()


def test_choosing_blocks_is_as_in_numpy(store):
    everything, count = store[:], len(store)
    assert everything.shape == (count, 16)
    assert everything.dtype == store.dtype == np.uint16
    rows = np.random.default_rng(0).integers(-count, count, 50)
    chosen = [
        0, count - 1, -1, -count, np.int64(3),
        slice(None), slice(60, 130), slice(130, 60), slice(None, None, -7), slice(-5, None),
        list(map(int, rows)), rows, rows.astype(np.int32), np.arange(count) % 3 == 0,
        [], (1, 2), np.array([], int), np.abs(rows).astype(np.uint64),
    ]  # fmt: skip
    for key in chosen:
        expected = everything[list(key) if isinstance(key, tuple) else key]
        if isinstance(key, list) and not key:
            expected = everything[:0]
        assert np.array_equal(store[key], expected), key
    assert np.array_equal(store.__getitems__([5, 2]), everything[[5, 2]])
    assert [block.tolist() for block in store] == everything.tolist()


def test_what_is_out_of_range_is_an_index_error(store):
    for key in (len(store), -len(store) - 1, [0, len(store)], np.array([len(store)])):
        with pytest.raises(IndexError, match=f"of {len(store)} blocks"):
            store[key]
    with pytest.raises(IndexError, match="booleans"):
        store[np.array([True])]
    for key in ("0", 1.0, None, [1.5], np.zeros((2, 2), int)):
        with pytest.raises(TypeError):
            store[key]


def test_a_callers_copy_is_its_own_and_the_shards_are_read_only(store):
    mine = store[0:3]
    mine[:] = 7
    assert not np.array_equal(store[0:3], mine)
    assert np.array_equal(np.concatenate(store.shards), store[:])
    with pytest.raises(ValueError, match="read-only"):
        store.shards[0][0, 0] = 1


def test_a_store_pickles_as_its_path(store):
    data = pickle.dumps(store)
    assert len(data) < 500
    assert np.array_equal(pickle.loads(data)[:], store[:])


def test_a_store_is_an_arrow_table(store):
    assert store.columns == ("input_ids",)
    assert store.to_arrow().schema.field("input_ids").type == pa.list_(pa.uint16(), 16)
    assert np.array_equal(pa.table(store)["input_ids"].to_numpy()[3], store[3])
    assert pl.DataFrame(store).height == len(store)


def test_the_tokenizer_lies_in_the_store(store):
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(store.path)
    manifest = store.manifest
    assert len(tokenizer) == manifest.vocab_size
    assert tokenizer.mask_token_id == manifest.mask_token_id
    assert tokenizer.pad_token_id == manifest.pad_token_id
    assert tuple(sorted(tokenizer.all_special_ids)) == manifest.special_ids
    assert tokenizer.decode(store[0]).startswith("<s>")


def test_verify_finds_a_changed_byte(copy):
    BlockStore.open(copy).verify()
    shard = copy / BlockStore.open(copy).manifest.shards[1].file
    data = bytearray(shard.read_bytes())
    data[-64] ^= 1
    shard.write_bytes(data)
    with pytest.raises(StoreError, match="checksum"):
        BlockStore.open(copy).verify()


def edit(copy, **changes):
    path = copy / "mlmfast.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def scramble(path):
    path.write_bytes(bytes(path.stat().st_size))


def swap(path):
    other = path.with_name(path.name.replace("00001-of", "00002-of"))
    data = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda copy: cut(next(copy.glob("data-00001*"))), "was cut off"),
        (lambda copy: scramble(next(copy.glob("data-00001*"))), "damaged|should hold"),
        (lambda copy: next(copy.glob("data-00001*")).unlink(), "lacks its file"),
        (lambda copy: (copy / "mlmfast.json").unlink(), "`datasets` folder, but no block store"),
        (lambda copy: (copy / "mlmfast.json").write_text("{"), "cannot be read"),
        (lambda copy: (copy / "mlmfast.json").write_text("[]"), "format version None"),
        (lambda copy: edit(copy, format_version=2), "format version 2; this mlmfast reads"),
        (lambda copy: edit(copy, shards=[]), "damaged"),
        (lambda copy: edit(copy, blocks=3), "sum of its shards"),
        (lambda copy: edit(copy, block_size=8), "block_size|should hold"),
        (lambda copy: edit(copy, shards=[{"file": "x"}]), "damaged"),
    ],
)
def test_a_damaged_store_is_never_opened(copy, damage, said):
    damage(copy)
    with pytest.raises(StoreError, match=said):
        BlockStore.open(copy)


def test_shards_that_changed_places_are_found(copy):
    swap(next(copy.glob("data-00001*")))
    with pytest.raises(StoreError):
        BlockStore.open(copy).verify()


def test_a_foreign_folder_or_none(tmp_path):
    with pytest.raises(NotFoundError, match="no such folder"):
        BlockStore.open(tmp_path / "gone")
    with pytest.raises(StoreError, match="mlmfast prepare"):
        BlockStore.open(tmp_path)
    (tmp_path / "text.txt").write_text("x")
    with pytest.raises(StoreError, match="is a file"):
        BlockStore.open(tmp_path / "text.txt")
    with pytest.raises(StoreError, match="no block store"):
        open_splits(tmp_path)


def test_splits(tmp_path, folder):
    assert list(open_splits(folder)) == ["train"]
    texts = pa.array(documents(200))
    prepare(texts, tmp_path / "two", tokenizer=tiny_tokenizer(), block_size=16, test_size=0.3)
    assert list(open_splits(tmp_path / "two")) == ["train", "test"]
    with pytest.raises(StoreError, match=r"holds test and train: give '.*/test'"):
        BlockStore.open(tmp_path / "two")
    assert is_store_folder(tmp_path / "two")
    (tmp_path / "two" / "model").mkdir()
    assert not is_store_folder(tmp_path / "two")
