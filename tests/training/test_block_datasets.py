"""Block stores as torch data sets."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, DistributedSampler

import mlmfast
from mlmfast.data.store.store import open_splits
from mlmfast.training.block_dataset import keep_batch
from mlmfast.training.datasets import EvaluationBlocks, MaskedBlocks
from toy import make_blocks


@pytest.fixture(scope="module")
def store(toy_blocks):
    return open_splits(toy_blocks)["train"]


def read_all(blocks, **options):
    batches = list(DataLoader(blocks, collate_fn=keep_batch, **options))
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


def test_labels_are_the_original_tokens_and_the_rest_is_unchanged(store):
    batch = MaskedBlocks(store).__getitems__(range(len(store)))
    original = torch.from_numpy(store[:].astype(np.int64))
    chosen = batch["labels"] != -100
    assert batch["input_ids"].dtype == batch["labels"].dtype == torch.int64
    assert torch.equal(batch["labels"][chosen], original[chosen])
    assert torch.equal(batch["input_ids"][~chosen], original[~chosen])
    assert 0.10 < chosen.float().mean() < 0.20
    assert not torch.isin(original[chosen], torch.tensor(store.manifest.special_ids)).any()


def test_masks_do_not_depend_on_batch_size_or_order(store):
    blocks = MaskedBlocks(store, seed=3)
    whole = blocks.__getitems__(range(len(store)))
    order = torch.randperm(len(store)).tolist()
    pieces = [blocks.__getitems__(order[at : at + 7]) for at in range(0, len(order), 7)]
    for name, tensor in whole.items():
        assert torch.equal(torch.cat([piece[name] for piece in pieces]), tensor[order])
    assert torch.equal(blocks[5]["labels"], whole["labels"][5])


def test_an_epoch_has_its_own_masks(store):
    blocks = MaskedBlocks(store, seed=3)
    first = blocks.__getitems__(range(20))["labels"]
    blocks.set_epoch(1)
    second = blocks.__getitems__(range(20))["labels"]
    blocks.set_epoch(0)
    assert not torch.equal(first, second)
    assert torch.equal(blocks.__getitems__(range(20))["labels"], first)


def test_evaluation_blocks_know_no_epochs(store):
    # Accelerate sets the epoch of every data set that lets it, at each pass over it.
    assert not hasattr(EvaluationBlocks(store), "set_epoch")


@pytest.mark.parametrize(
    ("start", "persistent"), [("fork", False), ("fork", True), ("spawn", True)]
)
def test_workers_see_the_epoch(store, start, persistent):
    blocks = MaskedBlocks(store, seed=1)
    loader = DataLoader(
        blocks,
        batch_size=16,
        collate_fn=keep_batch,
        num_workers=2,
        persistent_workers=persistent,
        multiprocessing_context=start,
    )
    for epoch in (0, 1):
        blocks.set_epoch(epoch)
        seen = torch.cat([batch["labels"] for batch in loader])
        alone = MaskedBlocks(store, seed=1)
        alone.set_epoch(epoch)
        assert torch.equal(seen, read_all(alone, batch_size=5)["labels"])


@pytest.mark.parametrize("start", [None, "fork", "spawn"])
def test_distributed_samplers_share_the_blocks(store, start):
    blocks = MaskedBlocks(store, seed=6)
    whole = blocks.__getitems__(range(len(store)))
    seen = []
    for rank in range(2):
        sampler = DistributedSampler(blocks, num_replicas=2, rank=rank, seed=1, drop_last=False)
        loader = DataLoader(
            blocks,
            batch_size=8,
            sampler=sampler,
            collate_fn=keep_batch,
            num_workers=0 if start is None else 1,
            multiprocessing_context=start,
        )
        numbers = list(sampler)
        labels = torch.cat([batch["labels"] for batch in loader])
        assert torch.equal(labels, whole["labels"][numbers])
        seen.extend(numbers)
    assert set(seen) == set(range(len(store)))


def test_masks_are_those_of_mask_tokens(store):
    manifest = store.manifest
    numbers = np.array([3, 0, 5])
    expected = mlmfast.mask_tokens(
        store[numbers],
        mask_token_id=manifest.mask_token_id,
        vocab_size=manifest.vocab_size,
        special_ids=manifest.special_ids,
        mlm_probability=0.4,
        seed=8,
        epoch=2,
        block_ids=numbers,
    )
    blocks = MaskedBlocks(store, seed=8, mlm_probability=0.4)
    blocks.set_epoch(2)
    batch = blocks.__getitems__(numbers.tolist())
    assert np.array_equal(batch["input_ids"], expected.input_ids)
    assert np.array_equal(batch["labels"], expected.labels)


def test_a_block_that_is_not_there_is_named(store):
    for number in (len(store), -1):
        with pytest.raises(IndexError, match=f"block {number}"):
            MaskedBlocks(store)[number]


def test_whole_words_are_found_by_the_stores_tokenizer(store):
    blocks = pickle.loads(pickle.dumps(EvaluationBlocks(store, mode="whole_word")))
    labels = blocks.__getitems__(range(len(store)))["labels"]
    assert 0.08 < (labels != -100).float().mean() < 0.22


def test_padding_is_masked_out_of_attention_and_never_chosen(tmp_path):
    folder = make_blocks(tmp_path, count=30, remainder="pad")
    store = open_splits(folder)["train"]
    assert store.manifest.padding_tokens > 0
    batch = MaskedBlocks(store, mlm_probability=0.9).__getitems__(range(len(store)))
    padding = torch.from_numpy(store[:] == store.manifest.pad_token_id)
    assert torch.equal(batch["attention_mask"] == 0, padding)
    assert (batch["labels"][padding] == -100).all()


def test_without_padding_there_is_no_attention_mask(store):
    assert set(MaskedBlocks(store)[0]) == {"input_ids", "labels"}


def test_blocks_survive_pickling(store):
    blocks = MaskedBlocks(store, seed=2)
    blocks.set_epoch(4)
    again = pickle.loads(pickle.dumps(blocks))
    assert again.epoch == 4
    assert torch.equal(again[0]["labels"], blocks[0]["labels"])


def test_whole_words_of_a_store_without_blanks_warn(store, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MaskedBlocks(store, mode="whole_word")
    no_starts = lambda _tokenizer, size, **_options: np.zeros(size, dtype=bool)  # noqa: E731
    monkeypatch.setattr("mlmfast.data.tokenization.word_boundaries.word_starts", no_starts)
    with pytest.warns(UserWarning, match="words of this text have .* tokens on average"):
        MaskedBlocks(store, mode="whole_word")
