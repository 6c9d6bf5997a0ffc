"""Where documents begin in the blocks of a store: written by `prepare`, read by the loaders."""

from __future__ import annotations

import json
import random
import shutil

import numpy as np
import pyarrow as pa
import pytest
import torch

import mlmfast
from corpus import documents, tiny_tokenizer
from mlmfast.data.prepare.api import prepare
from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.data.store.verification.verify import verify
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.errors import InputError, StoreError
from mlmfast.fs.checksums import checksum_of
from mlmfast.training.datasets import EvaluationBlocks, MaskedBlocks

TEXTS = documents(120)
SIZE = 16


def stored(folder, texts=TEXTS, **options):
    options = {"tokenizer": tiny_tokenizer(), "block_size": SIZE, "shard_tokens": 500} | options
    return prepare(pa.array(texts), folder, **options)


def everything(store):
    return store.document_ids(np.arange(len(store), dtype=np.uint64))


def numbered(block):
    """Number what changes from position to position in a block of labels; -1 where it is None."""
    known = list(dict.fromkeys(label for label in block if label is not None))
    return [-1 if label is None else known.index(label) for label in block]


@pytest.fixture(scope="module")
def tokens():
    """The tokens of each text, by how it is wrapped."""
    tokenizer = load_tokenizer(tiny_tokenizer()).tokenizer
    return {
        special: [
            tokenizer.encode(text, add_special_tokens=special == "document").ids for text in TEXTS
        ]
        for special in ("document", "block", "none")
    }


@pytest.mark.parametrize("special", ["document", "block", "none"])
@pytest.mark.parametrize("remainder", ["drop", "pad"])
def test_documents_that_run_on_are_told_apart(tmp_path, tokens, special, remainder):
    store = stored(tmp_path / "out", special_tokens=special, remainder=remainder)
    room = SIZE - 2 * (special == "block")
    stream = [number for number, ids in enumerate(tokens[special]) for _ in ids]
    expected = []
    for at in range(0, len(stream), room):
        content = stream[at : at + room]
        if special == "block":
            content = [content[0], *content, content[-1]]
        expected.append(numbered([*content, *[None] * (SIZE - len(content))]))
    if remainder == "drop" and len(stream) % room:
        expected.pop()
    assert store.manifest.document_starts
    assert everything(store).tolist() == expected
    assert [shard[0].dtype for shard in store.document_starts] == [np.int32] * len(store.shards)


def test_documents_that_are_packed_are_told_apart(tmp_path, tokens):
    store = stored(tmp_path / "out", packing="best_fit", block_size=32)
    pieces = [
        tuple(ids[at : at + 32]) for ids in tokens["document"] for at in range(0, len(ids), 32)
    ]
    found = []
    for block, numbers in zip(store[:], everything(store), strict=True):
        assert (block[numbers == -1] == store.manifest.pad_token_id).all()
        found += [tuple(block[numbers == each].tolist()) for each in range(numbers.max() + 1)]
    assert sorted(found) == sorted(pieces)


def test_a_block_of_its_own_is_one_document(tmp_path):
    store = stored(tmp_path / "out", packing="none")
    pad = store.manifest.pad_token_id
    text = np.cumsum((store[:] != pad)[:, ::-1], 1)[:, ::-1] > 0
    assert np.array_equal(everything(store), np.where(text, 0, -1))


def test_the_blocks_do_not_depend_on_the_column(tmp_path):
    """A store that was written before the column existed has the same blocks."""
    store = stored(tmp_path / "new")
    lists = pa.chunked_array([pa.array(load_ids(), pa.large_list(pa.uint16()))])
    expected = mlmfast.group_blocks(lists, SIZE)
    assert np.array_equal(store[:], np.array(expected.to_pylist()))
    older = older_store(store, tmp_path / "old")
    assert np.array_equal(older[:], store[:])
    assert older.document_starts is None
    assert not older.manifest.document_starts


def load_ids():
    tokenizer = load_tokenizer(tiny_tokenizer()).tokenizer
    return [tokenizer.encode(text).ids for text in TEXTS]


def older_store(store, folder):
    """The store as earlier versions wrote it: without the column, and a manifest that lacks it."""
    import pyarrow.parquet as pq

    table = folder.with_suffix(".parquet")
    pq.write_table(store.to_arrow(), table)
    mlmfast.convert(table, folder, to="store", tokenizer=tiny_tokenizer(), shard_tokens=500)
    path = folder / "mlmfast.json"
    content = json.loads(path.read_text())
    del content["document_starts"]
    for shard in content["shards"]:
        del shard["starts_start"], shard["starts_end"], shard["starts_sha256"]
    path.write_text(json.dumps({**content, "checksum": checksum_of(content)}))
    return BlockStore.open(folder)


def test_a_store_that_does_not_know_says_how_it_would(tmp_path):
    older = older_store(stored(tmp_path / "new"), tmp_path / "old")
    for ask in (
        lambda: everything(older),
        lambda: mlmfast.BlockLoader(older, 4, documents=True),
        lambda: MaskedBlocks(older, documents=True),
    ):
        with pytest.raises(
            InputError, match="does not say where documents begin: prepare it again"
        ):
            ask()
    assert "document_ids" not in next(iter(mlmfast.BlockLoader(older, 4)))


def test_datasets_shows_the_blocks_and_keeps_the_column(tmp_path):
    datasets = pytest.importorskip("datasets")
    store = stored(tmp_path / "out")
    loaded = datasets.load_from_disk(str(store.path))
    assert loaded[3] == {"input_ids": store[3].tolist()}
    assert loaded.column_names == ["input_ids", "document_starts"]
    column = loaded.with_format(None)["document_starts"][:]
    numbers = everything(store)
    assert column == [[row.index(each) for each in range(max(row) + 1)] for row in numbers.tolist()]
    assert store.to_arrow(document_starts=True)["document_starts"].to_pylist() == column
    assert store.to_arrow().column_names == ["input_ids"]


def test_batches_have_documents_where_they_are_asked_for(tmp_path):
    store = stored(tmp_path / "out", packing="best_fit")
    asked = mlmfast.BlockLoader(store, 5, documents=True, seed=3)
    plain = mlmfast.BlockLoader(store, 5, seed=3)
    ids = {row.tobytes(): number for number, row in enumerate(store[:].astype(np.int64))}
    masked = 0
    for batch, without in zip(asked, plain, strict=True):
        numbers = batch.pop("document_ids")
        assert numbers.dtype == torch.int32
        assert torch.equal(numbers == -1, batch["attention_mask"] == 0)
        assert all(torch.equal(batch[name], without[name]) for name in without)
        whole = torch.where(batch["labels"] == -100, batch["input_ids"], batch["labels"])
        rows = np.array([ids[row.numpy().tobytes()] for row in whole], dtype=np.uint64)
        assert np.array_equal(numbers, store.document_ids(rows))
        masked += int((batch["labels"] != -100).sum())
    assert masked
    for blocks in (MaskedBlocks(store, documents=True), EvaluationBlocks(store, documents=True)):
        batch = blocks.__getitems__([4, 0])
        assert np.array_equal(
            batch["document_ids"], store.document_ids(np.array([4, 0], np.uint64))
        )
        assert set(batch) - set(MaskedBlocks(store).__getitems__([0])) == {"document_ids"}


def test_lines_are_cut_with_their_batch(tmp_path):
    store = stored(tmp_path / "out", ["a", "the fox"], packing="none")
    batch = MaskedBlocks(store, documents=True).__getitems__([0, 1])
    assert batch["document_ids"].shape == batch["input_ids"].shape
    assert batch["document_ids"].shape[1] < SIZE
    assert torch.equal(batch["document_ids"] + 1, batch["attention_mask"])


def test_damage_to_the_column_is_noticed(tmp_path):
    store = stored(tmp_path / "whole")
    copy = tmp_path / "copy"
    shutil.copytree(store.path, copy)
    shard = store.manifest.shards[0]
    path = copy / shard.file
    data = bytearray(path.read_bytes())
    offsets, starts = store.document_starts[0]
    inside = data[shard.starts_start : shard.starts_end]
    assert inside.startswith(offsets.tobytes())
    assert inside.endswith(starts.tobytes())
    places = range(shard.starts_start, shard.starts_end)
    for at in random.Random(1).sample(places, 20):
        data[at] ^= 1 << at % 8
        path.write_bytes(data)
        with pytest.raises(StoreError, match="its document starts were changed"):
            BlockStore.open(copy)
        assert verify(copy).damage
        data[at] ^= 1 << at % 8


def test_starts_that_cannot_be_end_as_an_error(tmp_path):
    """As after damage in the middle of a large shard, which is not read when a store is opened."""
    store = stored(tmp_path / "whole")
    offsets, starts = (array.copy() for array in store.document_starts[0])
    starts[offsets[2]] = 1
    store._shards._document_starts = ((offsets, starts), *store._shards._document_starts[1:])
    with pytest.raises(StoreError, match="block 2: where its documents begin is damaged"):
        everything(store)


def test_a_manifest_that_disagrees_is_refused(tmp_path):
    store = stored(tmp_path / "out")
    path = store.path / "mlmfast.json"
    content = json.loads(path.read_text())
    content["document_starts"] = False
    path.write_text(json.dumps({**content, "checksum": checksum_of(content)}))
    with pytest.raises(StoreError, match="disagree about the column 'document_starts'"):
        BlockStore.open(store.path)


@pytest.mark.parametrize("options", [{}, {"shuffle_documents": True}, {"deduplicate": "exact"}])
def test_splits_and_orders_have_their_documents(tmp_path, options):
    splits = stored(tmp_path / "out", test_size=0.3, packing="best_fit", block_size=64, **options)
    texts = dict.fromkeys(TEXTS) if "deduplicate" in options else TEXTS
    tokenizer = load_tokenizer(tiny_tokenizer()).tokenizer
    expected = [tuple(tokenizer.encode(text).ids) for text in texts]
    assert max(map(len, expected)) <= 64 * 4
    pieces = [ids[at : at + 64] for ids in expected for at in range(0, len(ids), 64)]
    found = []
    for store in open_splits(splits["train"].path.parent).values():
        for block, numbers in zip(store[:], everything(store), strict=True):
            found += [tuple(block[numbers == each].tolist()) for each in range(numbers.max() + 1)]
    assert sorted(found) == sorted(pieces)
