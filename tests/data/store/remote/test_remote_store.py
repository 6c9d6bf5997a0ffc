"""Block stores at URLs: on an S3 server of this machine, through a bounded cache."""

from __future__ import annotations

import gc
import os
import pickle
import threading
import time
from itertools import islice

import numpy as np
import pyarrow as pa
import pytest

import mlmfast
from corpus import documents, tiny_tokenizer
from mlmfast.data.loading.block_masker import BlockMasker
from mlmfast.data.prepare.api import prepare
from mlmfast.data.store.remote.cached_files import CachedFiles
from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.data.store.verification.verify import verify
from mlmfast.errors import InputError, StoreError
from mlmfast.fs.remote.bounded_cache import cache_bytes
from s3_server import s3, s3_server  # noqa: F401 - fixtures

PADDED = {"packing": "best_fit", "remainder": "pad"}


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """A store with splits, several shards, document starts and padding."""
    path = tmp_path_factory.mktemp("remote") / "blocks"
    prepare(
        pa.array(documents(600)), path, tokenizer=tiny_tokenizer(), block_size=16, test_size=0.2,
        shard_tokens=2_400, **PADDED,
    )  # fmt: skip
    return path


@pytest.fixture
def url(s3, local, tmp_path, monkeypatch):
    """The same store on the server, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for path in sorted(local.rglob("*")):
        if path.is_file():
            s3.put(f"blocks/{path.relative_to(local)}", path.read_bytes())
    return f"{s3.url}/blocks"


@pytest.fixture
def no_downloads(monkeypatch):
    """Every block is read by a range of its own, as before the first shard is there."""
    monkeypatch.setattr(
        "mlmfast.data.store.remote.shards.RemoteShards._download", lambda _self: None
    )


def whole_shards(store):
    return sorted(path.name for path in store.path.glob("*.arrow"))


def batches(store, **options):
    given = {"seed": 3, "documents": True, "positions": True, **options}
    return list(islice(mlmfast.BlockLoader(store, 8, **given), 10))


def same(left, right):
    return len(left) == len(right) and all(
        a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)
        for a, b in zip(left, right, strict=True)
    )


@pytest.mark.usefixtures("no_downloads")
def test_batches_are_those_of_the_local_store_before_anything_is_downloaded(url, local):
    there, here = open_splits(url), open_splits(local)
    assert there.keys() == here.keys() == {"train", "test"}
    train = there["train"]
    assert same(batches(train), batches(here["train"]))
    assert whole_shards(train) == []
    assert (train.fingerprint, len(train)) == (here["train"].fingerprint, len(here["train"]))
    assert (train[5:40] == here["train"][5:40]).all()
    assert (train[[7, 3, 3, -1]] == here["train"][[7, 3, 3, -1]]).all()
    options = {"labels_at_positions": True, "mlm_probability": "uniform:0.1,0.5", "dtype": "int32"}
    assert same(batches(train, **options), batches(here["train"], **options))


@pytest.mark.usefixtures("no_downloads")
def test_the_blocks_of_the_next_batches_are_requested_ahead(url, monkeypatch):
    store = BlockStore.open(f"{url}/train")
    asked = []
    read = store._shards._reader._read
    monkeypatch.setattr(store._shards._reader, "_read", lambda ids: asked.append(ids) or read(ids))
    loader = mlmfast.BlockLoader(store, 8, seed=3, prefetch=0)
    first = next(iter(loader))
    assert first["input_ids"].shape == (8, 16)
    order = [loader._sampler.block_ids(number, 0).tolist() for number in range(17)]
    deadline = time.monotonic() + 60
    while len(asked) < 17 and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert sorted(ids.tolist() for ids in asked) == sorted(order)
    assert len(loader) > 17


def test_shards_are_downloaded_meanwhile_and_kept_for_the_next_run(url, local, s3):
    store = BlockStore.open(f"{url}/train")
    masker = BlockMasker(store, seed=1, options={})
    ids = np.arange(8, dtype=np.uint64)
    buffers = {name: np.empty((8, 16), np.int64) for name in masker.columns}
    deadline = time.monotonic() + 60
    while store.is_partial and time.monotonic() < deadline:
        masker.fill(ids, buffers, epoch=0)
    assert not store.is_partial
    assert len(whole_shards(store)) == len(store.manifest.shards) > 3
    assert same(batches(store), batches(f"{local}/train"))
    passed = s3.proxy.passed
    again = BlockStore.open(f"{url}/train")
    assert (again[:] == BlockStore.open(local / "train")[:]).all()
    assert s3.proxy.passed - passed < again.manifest.shards[0].bytes  # the manifest alone


@pytest.mark.usefixtures("no_downloads")
def test_a_connection_that_breaks_costs_nothing_but_time(url, local, s3):
    store = BlockStore.open(f"{url}/train")
    before = s3.proxy.cuts
    s3.proxy.cut(after=9_000, times=3)
    assert same(batches(store), batches(f"{local}/train"))
    assert s3.proxy.cuts > before
    s3.proxy.break_down(after=9_000)
    with pytest.raises(InputError, match=r"s3://corpora/blocks/train/data-.* cannot be accessed"):
        batches(store)
    s3.proxy.mend()
    assert same(batches(store), batches(f"{local}/train"))


def test_a_download_that_breaks_goes_on(url, s3):
    files = CachedFiles(f"{url}/train")
    s3.proxy.cut(after=files.manifest.shards[0].bytes // 2, times=2)
    files.fetch_all()
    assert all(files.is_whole(shard) for shard in files.manifest.shards)


def test_the_cache_is_bounded_and_what_was_used_longest_ago_goes_first(url, local):
    shards = BlockStore.open(local / "train").manifest.shards
    others = [path for path in (local / "train").iterdir() if path.suffix != ".arrow"]
    limit = sum(path.stat().st_size for path in others) + sum(s.bytes for s in shards) // 2
    small = BlockStore.open(f"{url}/train", cache_size=limit)
    given = batches(small, documents=False)
    small._shards._reader.close()
    assert same(given, batches(f"{local}/train", documents=False))
    root = small.path.parent
    deadline = time.monotonic() + 60
    while any(t.name == "mlmfast-download" for t in threading.enumerate()):
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)
    kept = whole_shards(small)
    assert 0 < len(kept) < len(shards)
    assert sum(f.stat().st_size for f in root.rglob("*.arrow")) <= limit
    with pytest.raises(InputError, match=r"all of which are needed here.*MLMFAST_CACHE_SIZE"):
        small.shards  # noqa: B018
    # A store in use is never removed, and then makes room for another.
    other, path = CachedFiles(f"{url}/test", limit), small.path
    used = sum(file.stat().st_size for file in other.folder.iterdir())
    filler = other.folder / "filler.arrow"
    assert not other._cache.reserve(filler, limit - used)
    assert whole_shards(small) == kept
    del small, given
    gc.collect()
    assert other._cache.reserve(filler, limit - used)
    assert not path.exists()


def test_what_was_changed_on_the_server_is_never_used(url, local, s3):
    store = BlockStore.open(f"{url}/train")
    shard = store.manifest.shards[1]
    content = bytearray((local / "train" / shard.file).read_bytes())
    content[shard.bytes // 2] ^= 16
    s3.put(f"blocks/train/{shard.file}", bytes(content))
    with pytest.raises(StoreError, match=f"{shard.file}' was changed after it was written"):
        store.shards  # noqa: B018
    assert shard.file not in whole_shards(store)
    assert [line.split("'")[1] for line in verify(url).damage] == [f"{url}/train/{shard.file}"]
    s3.put(f"blocks/train/{shard.file}", bytes(content[:-8]))
    with pytest.raises(StoreError, match=r"bytes, but .* were written"):
        BlockStore.open(f"{url}/train").shards  # noqa: B018
    assert len(verify(url).damage) == 1


def test_verify_reads_the_server_and_no_cache(url, local, tmp_path):
    report = verify(url)
    expected = verify(local)
    assert report.damage == []
    assert (report.blocks, report.files, report.bytes) == (
        expected.blocks, expected.files, expected.bytes
    )  # fmt: skip
    assert not list((tmp_path / "cache").rglob("*.arrow"))


@pytest.mark.usefixtures("no_downloads")
def test_a_pickled_store_opens_the_same_url(url):
    store = BlockStore.open(f"{url}/train", cache_size="1GB")
    again = pickle.loads(pickle.dumps(store))
    assert again.location == store.location
    assert (again[:3] == store[:3]).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.usefixtures("no_downloads")
def test_a_forked_process_reads_too(url, local):
    store = BlockStore.open(f"{url}/train")
    store.rows(np.arange(4, dtype=np.uint64))
    process = os.fork()
    if not process:
        rows = store.rows(np.arange(9, dtype=np.uint64))
        os._exit(0 if (rows == BlockStore.open(local / "train")[:9]).all() else 1)
    assert os.waitpid(process, 0)[1] == 0


def test_no_store_and_no_size(url, s3):
    s3.put("texts/a.txt", b"x\n")
    with pytest.raises(StoreError, match=r"no block store at 's3://corpora/texts'"):
        open_splits(f"{s3.url}/texts")
    with pytest.raises(StoreError, match=r"no block store at 's3://corpora/blocks'"):
        BlockStore.open(url)
    with pytest.raises(InputError, match="such as 50GB; got 'much'"):
        BlockStore.open(f"{url}/train", cache_size="much")
    assert [cache_bytes(size) for size in (7, "7", "1.5 kB", "2GB", "1t")] == [
        7, 7, 1500, 2_000_000_000, 10**12
    ]  # fmt: skip
