"""Blocks of a store cut into shorter ones: those that `prepare` makes with that block size."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from mlmfast.data.loading.block_masker import BlockMasker
from mlmfast.data.prepare.api import prepare
from mlmfast.data.store.cut import CutStore
from mlmfast.data.store.joined import JoinedStore
from mlmfast.data.store.lengths import longest_document
from mlmfast.data.store.store import BlockStore
from mlmfast.data.tokenization.train import train_tokenizer
from mlmfast.errors import InputError, StoreError
from toy import sentences

LONG, SHORT = 64, 16


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cut")
    train_tokenizer(sentences(60), folder / "tokenizer", vocab_size=300)
    (folder / "text.txt").write_text("\n".join(sentences(60)) + "\n")
    return folder


def store_of(root, name, block_size, **options):
    folder = root / f"{name}-{block_size}"
    if not folder.is_dir():
        given = {"tokenizer": root / "tokenizer", "block_size": block_size} | options
        prepare(str(root / "text.txt"), folder, **given)
    return BlockStore(folder)


@pytest.fixture(params=["document", "none", "pad", "shards"])
def both(request, root):
    """A store that is cut, and one that was prepared with the short length."""
    name = request.param
    options = {
        "document": {"special_tokens": "document"},
        "none": {"special_tokens": "none"},
        "pad": {"remainder": "pad"},
        "shards": {"shard_tokens": 3 * LONG},
    }[name]
    cut = CutStore(store_of(root, name, LONG, **options), SHORT)
    return cut, store_of(root, name, SHORT, **options)


def test_the_blocks_are_those_of_the_shorter_length(both):
    cut, short = both
    assert len(cut) > 40
    if cut.manifest.padding_tokens:  # then nothing is dropped
        assert len(cut) == len(short)
        for name in ("blocks", "tokens", "padding_tokens"):
            assert getattr(cut.manifest, name) == getattr(short.manifest, name)
    assert len(short) - LONG // SHORT < len(cut) <= len(short)
    assert (cut[:] == short[: len(cut)]).all()
    chosen = [len(cut) - 1, 3, 0, 17]
    assert (cut[chosen] == short[chosen]).all()
    assert cut.to_arrow()["input_ids"].to_pylist() == short[: len(cut)].tolist()


def test_documents_and_masks_are_those_of_the_shorter_length(both):
    cut, short = both
    ids = np.random.default_rng(0).integers(0, len(cut), 50).astype(np.uint64)
    assert (cut.document_ids(ids) == short.document_ids(ids)).all()
    one, other = (
        np.concatenate([positions[: offsets[-1]] for offsets, positions in store.document_starts])
        for store in (cut, short)
    )
    assert (one == other[: len(one)]).all()
    assert longest_document(cut) == longest_document(short)
    masked = []
    for store in (cut, short):
        masker = BlockMasker(store, seed=3, options={"mlm_probability": 0.3})
        batch = {name: np.empty((50, SHORT), np.int64) for name in masker.columns}
        masker.fill(ids, batch, epoch=2)
        masked.append(batch)
    assert masked[0].keys() == masked[1].keys()
    assert all((masked[0][name] == masked[1][name]).all() for name in masked[0])


def test_it_is_another_store_also_in_other_processes_and_beside_others(root):
    whole = store_of(root, "document", LONG)
    cut = CutStore(whole, SHORT)
    again = pickle.loads(pickle.dumps(cut))
    assert again.fingerprint == cut.fingerprint != whole.fingerprint
    assert (again[:] == cut[:]).all()
    short = store_of(root, "document", SHORT)
    joined = JoinedStore([short, cut])
    ids = np.array([len(joined) - 1, 0, len(short), len(short) - 1], np.uint64)
    assert (joined[ids.astype(np.int64)][1] == short[0]).all()
    assert (joined.document_ids(ids)[2] == cut.document_ids(np.array([0], np.uint64))[0]).all()
    assert (joined.document_ids(ids)[3] == short.document_ids(ids[3:])[0]).all()
    with pytest.raises(IndexError):
        joined.document_ids(np.array([len(joined)], np.uint64))


def test_verify_reads_the_store_itself(root, tmp_path):
    folder = tmp_path / "store"
    prepare(str(root / "text.txt"), folder, tokenizer=root / "tokenizer", block_size=LONG)
    cut = CutStore(BlockStore(folder), SHORT)
    cut.verify()
    (folder / "dataset_info.json").write_text("{}")
    with pytest.raises(StoreError, match="dataset_info"):
        cut.verify()


@pytest.mark.parametrize(
    ("options", "length", "reason"),
    [
        ({}, 24, "24 does not divide 64"),
        ({"special_tokens": "block"}, 16, "begins and ends with special tokens"),
        ({"packing": "none"}, 16, "each holds one document"),
        ({"packing": "best_fit"}, 16, "they hold whole documents"),
    ],
)
def test_what_cannot_be_cut(root, options, length, reason):
    store = store_of(root, "-".join(["whole", *options, *options.values()]), LONG, **options)
    with pytest.raises(InputError, match=f"{reason}.*--block-size {length}"):
        CutStore(store, length)
