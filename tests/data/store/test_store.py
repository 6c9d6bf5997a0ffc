from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from corpus import documents, tiny_tokenizer
from mlmfast.data.prepare.api import prepare
from mlmfast.data.store.folder import holds_store_alone, is_store_folder
from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.errors import NotFoundError, OutputExistsError, StoreError
from mlmfast.fs.checksums import checksum_of


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


def test_the_stores_tokenizer_is_loaded_once_and_not_pickled(store):
    empty = len(pickle.dumps(store))
    assert store.tokenizer is store.tokenizer
    assert store.tokenizer.sha256 == store.manifest.tokenizer_sha256
    assert store.tokenizer.mask_token_id == store.manifest.mask_token_id
    assert len(pickle.dumps(store)) == empty
    assert pickle.loads(pickle.dumps(store)).tokenizer.files == store.tokenizer.files


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
    store = BlockStore.open(copy)
    store.verify()
    shard = copy / store.manifest.shards[1].file
    data = bytearray(shard.read_bytes())
    data[-64] ^= 1
    shard.write_bytes(data)
    with pytest.raises(StoreError, match="checksum"):
        store.verify()


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


def test_shards_that_changed_places_are_not_opened(tmp_path):
    store = prepare(
        pa.array(documents(60)), tmp_path / "out", tokenizer=tiny_tokenizer(), block_size=16,
        packing="none", shard_tokens=300,
    )  # fmt: skip
    first, second = store.manifest.shards[1:3]
    assert first.bytes == second.bytes
    assert first.frame_sha256 == second.frame_sha256
    swap(next(store.path.glob("data-00001*")))
    with pytest.raises(StoreError, match="its ids were changed"):
        BlockStore.open(store.path)


def test_a_tail_that_never_came_to_the_disk_is_not_opened(copy):
    shard = BlockStore.open(copy).manifest.shards[0]
    with (copy / shard.file).open("r+b") as file:
        file.seek(shard.ids_end - 512)
        file.write(bytes(512))
    with pytest.raises(StoreError, match="its ids were changed"):
        BlockStore.open(copy)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_a_store_is_not_opened_with_another_tokenizer(copy, name):
    whole = (copy / name).read_bytes()
    (copy / name).write_bytes(whole + b" ")
    with pytest.raises(StoreError, match=rf"{name}' was changed after it was written"):
        BlockStore.open(copy)
    (copy / name).unlink()
    with pytest.raises(StoreError, match=rf"{name}' is gone"):
        BlockStore.open(copy)


def test_a_manifest_without_checksum_is_no_manifest(copy):
    path = copy / "mlmfast.json"
    content = json.loads(path.read_text())
    for without in (
        {name: value for name, value in content.items() if name != "checksum"},
        {**content, "checksum": None},
    ):
        path.write_text(json.dumps(without))
        with pytest.raises(StoreError, match=r"no checksum: .*Prepare the store again"):
            BlockStore.open(copy)


def test_a_manifest_of_another_version_keeps_its_checksum(copy):
    """With fields that are not known here, in itself and in its shards, or without the newest."""
    path = copy / "mlmfast.json"
    content = json.loads(path.read_text())
    later = {**content, "new": 1, "shards": [{**each, "new": 1} for each in content["shards"]]}
    earlier = {name: value for name, value in content.items() if name != "files"}
    for other in (later, earlier):
        path.write_text(json.dumps({**other, "checksum": checksum_of(other)}))
        BlockStore.open(copy).verify()
        path.write_text(json.dumps({**other, "documents": 1, "checksum": checksum_of(other)}))
        with pytest.raises(StoreError, match="changed after"):
            BlockStore.open(copy)


def test_a_pickled_store_opens_as_the_same_or_not_at_all(folder, copy):
    pickled = pickle.dumps(BlockStore.open(copy))
    assert pickle.loads(pickled).fingerprint == BlockStore.open(folder).fingerprint
    options = {"tokenizer": tiny_tokenizer(), "block_size": 16, "shard_tokens": 1000}
    # Prepared again of the same text: the same blocks.
    prepare(pa.array(documents(200)), copy, **options, overwrite=True)
    assert np.array_equal(pickle.loads(pickled)[:], BlockStore.open(folder)[:])
    prepare(pa.array(documents(100)), copy, **options, overwrite=True)
    with pytest.raises(StoreError, match="replaced by another one"):
        pickle.loads(pickled)


STRAY = [".DS_Store", "Thumbs.db", "desktop.ini", "._data-00000-of-00001.arrow", ".nfs0000000001"]


def test_the_manifest_decides_what_a_store_is(copy, tmp_path):
    """What systems leave in folders, and what people do, changes nothing; it is not thrown away."""
    for name in STRAY:
        (copy / name).write_bytes(b"stray")
    (tmp_path / "two").mkdir()
    for split in ("train", "test"):
        shutil.copytree(copy, tmp_path / "two" / split)
    (tmp_path / "two" / ".DS_Store").write_bytes(b"stray")
    options = {"tokenizer": tiny_tokenizer(), "block_size": 16}
    texts = pa.array(documents(60))
    for path, splits in ((copy, ["train"]), (tmp_path / "two", ["train", "test"])):
        assert is_store_folder(path)
        assert list(open_splits(path)) == splits
        (path / "notes.txt").write_text("mine")
        assert is_store_folder(path)
        assert list(open_splits(path)) == splits
        with pytest.raises(OutputExistsError, match="did not write"):
            prepare(texts, path, **options, overwrite=True)
        (path / "notes.txt").unlink()
        prepare(texts, path, **options, overwrite=True)
        assert not (path / ".DS_Store").exists()


def test_a_folder_with_strays_alone_is_empty(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".DS_Store").write_bytes(b"stray")
    prepare(pa.array(documents(60)), tmp_path / "out", tokenizer=tiny_tokenizer(), block_size=16)
    assert holds_store_alone(tmp_path / "out")


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
    assert holds_store_alone(tmp_path / "two")
    (tmp_path / "two" / "model").mkdir()
    assert not holds_store_alone(tmp_path / "two")
    assert is_store_folder(tmp_path / "two")
