"""Documents packed into rows: each once an epoch, masked as alone, for any ranks and resumes."""

from __future__ import annotations

import gzip
import json
import pickle

import numpy as np
import pyarrow as pa
import pytest
import torch

import mlmfast
from corpus import documents, tiny_tokenizer
from mlmfast.data.loading.document_packing import DocumentPacking
from mlmfast.data.prepare.api import prepare
from mlmfast.errors import InputError
from mlmfast.training.datasets import MaskedBlocks
from mlmfast.training.trainer.step_batches import step_batch
from places import shared

SIZE = 48


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Documents of 2 to 48 tokens, one per block."""
    return prepare(
        pa.array(documents(301)), tmp_path_factory.mktemp("packed") / "out",
        tokenizer=tiny_tokenizer(), block_size=SIZE, packing="none", shard_tokens=2000,
    )  # fmt: skip


def loader(store, batch_size=4, **options):
    return mlmfast.BlockLoader(store, batch_size, pack_documents=True, **options)


def documents_in(batch, name="input_ids"):
    """The documents of a batch, each a tuple of one of its columns."""
    found = []
    for row, numbers in zip(batch[name].tolist(), batch["document_ids"].tolist(), strict=True):
        rows = {number: [] for number in range(max(numbers) + 1)}
        for value, number in zip(row, numbers, strict=True):
            rows.get(number, []).append(value)
        found += map(tuple, rows.values())
    return found


def alone(store, epoch, **options):
    """Every document under the masks that it has in a batch of padded blocks, by its tokens."""
    blocks = MaskedBlocks(store, **options)
    blocks.set_epoch(epoch)
    batch = blocks.__getitems__(range(len(store)))
    lengths = batch["attention_mask"].sum(1).tolist()
    rows = zip(batch["input_ids"].tolist(), batch["labels"].tolist(), lengths, strict=True)
    return [(tuple(ids[:n]), tuple(labels[:n])) for ids, labels, n in rows]


@pytest.mark.parametrize(("world_size", "batch_size"), [(1, 4), (3, 2), (2, 64)])
def test_an_epoch_has_each_document_once_under_its_own_masks(store, world_size, batch_size):
    rows = set()
    for epoch in (0, 5):
        found = []
        for rank in range(world_size):
            options = {"rank": rank, "world_size": world_size, "epoch": epoch, "seed": 9}
            for batch in loader(store, batch_size, **options):
                assert batch["input_ids"].shape[1] == SIZE
                assert torch.equal(batch["attention_mask"] == 1, batch["document_ids"] >= 0)
                padding = batch["document_ids"] == -1
                assert (batch["input_ids"][padding] == store.manifest.pad_token_id).all()
                assert (batch["labels"][padding] == -100).all()
                own = documents_in(batch), documents_in(batch, "labels")
                found += zip(*own, strict=True)
                rows.add(len(batch["input_ids"]))
        assert sorted(found) == sorted(alone(store, epoch, seed=9))
        assert any(label != -100 for _, labels in found for label in labels)
    assert max(rows) <= batch_size


@pytest.mark.parametrize("mode", [{"mode": "whole_word"}, {"mode": "span"}, {"masks_per_row": 3}])
def test_every_kind_of_mask_is_that_of_the_document(store, mode):
    found = [
        pair
        for batch in loader(store, 7, **mode)
        for pair in zip(documents_in(batch), documents_in(batch, "labels"), strict=True)
    ]
    assert sorted(found) == sorted(alone(store, 0, **mode))


def test_rows_are_full_and_others_in_each_epoch(store):
    packing = DocumentPacking(store, None, 3)
    everything = np.arange(packing.rows, dtype=np.uint64)
    epochs = []
    for epoch in (0, 1, 2**64 - 1):
        ids, ends = packing.documents_of(everything, epoch)
        assert sorted(ids.tolist()) == list(range(len(store)))
        filled = np.add.reduceat(packing.lengths[ids.astype(np.int64)], np.append(0, ends[:-1]))
        assert filled.max() <= SIZE
        assert filled.sum() / (SIZE * packing.rows) == pytest.approx(packing.fill_rate)
        epochs.append([frozenset(row.tolist()) for row in np.split(ids, ends[:-1])])
    assert packing.fill_rate > 0.95
    shared = set(epochs[0]) & set(epochs[1])
    assert len(shared) < packing.rows / 3
    # Any rows of an epoch by themselves, in another process too.
    again = pickle.loads(pickle.dumps(packing))
    ids, ends = again.documents_of(np.array([5, 2], np.uint64), 1)
    assert [frozenset(ids[: ends[0]].tolist()), frozenset(ids[ends[0] :].tolist())] == [
        epochs[1][5], epochs[1][2],
    ]  # fmt: skip


def test_a_restored_loader_goes_on_with_the_same_rows(store):
    whole = list(loader(store, seed=2, epoch=1))
    begun = loader(store, seed=2, epoch=1)
    for _, batch in zip(range(3), begun, strict=False):
        assert batch
    restored = loader(store, seed=2)
    restored.load_state_dict(json.loads(json.dumps(begun.state_dict())))
    rest = list(restored)
    assert len(rest) == len(whole) - 3
    for batch, expected in zip(rest, whole[3:], strict=True):
        assert all(torch.equal(batch[name], expected[name]) for name in expected)
    with pytest.raises(InputError, match="pack_documents"):
        mlmfast.BlockLoader(store, 4, seed=2).load_state_dict(begun.state_dict())


def test_positions_and_types_are_as_of_blocks(store):
    plain = loader(store, seed=4, reuse_buffers=True)
    sparse = loader(store, seed=4, labels_at_positions=True, dtype="int32")
    for batch, dense in zip(sparse, plain, strict=True):
        positions = (dense["labels"].flatten() != -100).nonzero().flatten()
        assert torch.equal(batch["positions"], positions)
        assert torch.equal(batch["labels"], dense["labels"].flatten()[positions].int())
        assert batch["labels"].dtype == batch["input_ids"].dtype == torch.int32


def test_a_training_step_can_be_made_again(store):
    blocks = MaskedBlocks(store, seed=1, pack_documents=True, limit=100)
    assert len(blocks) < 100
    ids, _ = blocks.packing.documents_of(np.arange(len(blocks), dtype=np.uint64), 0)
    assert sorted(ids.tolist()) == list(range(100))
    steps = -(-len(blocks) // 6)
    found = []
    for step in range(steps):
        options = {"seed": 1, "pack_documents": True, "limit": 100}
        together = step_batch(store, step, batch_size=6, **options)
        parts = step_batch(store, step, batch_size=3, accumulated=2, **options)
        assert all(torch.equal(together[name], parts[name]) for name in together)
        found += zip(documents_in(together), documents_in(together, "labels"), strict=True)
    assert sorted(found) == sorted(alone(store, 0, seed=1)[:100])
    of_seed = {"batch_size": 6, "seed": 1, "pack_documents": True}
    other = step_batch(store, 0, data_seed=2, **of_seed)["document_ids"]
    assert not torch.equal(other, step_batch(store, 0, **of_seed)["document_ids"])


def test_blocks_of_several_documents_are_not_packed(tmp_path):
    concat = prepare(pa.array(documents(20)), tmp_path / "out", tokenizer=tiny_tokenizer())
    for pack in (lambda: loader(concat), lambda: MaskedBlocks(concat, pack_documents=True)):
        with pytest.raises(InputError, match=r"more than one document each \(packing='concat'\)"):
            pack()


def test_a_row_that_does_not_exist_is_named(store):
    with pytest.raises(IndexError, match="row 900 of"):
        DocumentPacking(store, None, 0).documents_of(np.array([900], np.uint64), 0)


def test_answers_of_eli5_fill_their_rows(tmp_path):
    source = shared("text", "eli5_category", "validation2.jsonl.gz")
    tokenizer = shared("tokenizers", "roberta-base")
    with gzip.open(source, "rt", encoding="utf-8") as lines:
        answers = [text for line in lines for text in json.loads(line)["answers"]["text"]]
    store = prepare(
        pa.array(answers[:1500]),
        tmp_path / "out",
        tokenizer=tokenizer,
        block_size=512,
        packing="none",
    )
    packing = DocumentPacking(store, None, 0)
    assert packing.fill_rate > 0.95
    assert store.manifest.fill_rate < 0.5
