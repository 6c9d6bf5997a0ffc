"""`BlockLoader`: every batch a pure function of its number, for any ranks, restores and threads."""

from __future__ import annotations

import gc
import json
import multiprocessing
import subprocess
import sys
import textwrap

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mlmfast
from corpus import documents, tiny_tokenizer
from mlmfast.data.loading.sampler import BlockSampler
from mlmfast.data.prepare.api import prepare
from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.errors import InputError, MlmfastError
from our_threads import our_threads
from toy import make_blocks


@pytest.fixture(scope="module")
def store(toy_blocks):
    return open_splits(toy_blocks)["train"]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    before = our_threads()
    yield
    gc.collect()
    assert our_threads() <= before


def loader(store, batch_size=8, **options):
    return mlmfast.BlockLoader(store, batch_size, **options)


def same(left, right):
    return (
        len(left) == len(right)
        and all(a.keys() == b.keys() for a, b in zip(left, right, strict=True))
        and all(
            torch.equal(a[name], b[name]) for a, b in zip(left, right, strict=True) for name in a
        )
    )


def blocks_of(store, batches):
    """The numbers of the blocks of batches without masks."""
    rows = {row.tobytes(): number for number, row in enumerate(store[:].astype(np.int64))}
    return [rows[row.numpy().tobytes()] for batch in batches for row in batch["input_ids"]]


@pytest.fixture(scope="module")
def distinct(tmp_path_factory):
    """A store whose blocks all differ."""
    path = tmp_path_factory.mktemp("distinct") / "blocks"
    texts = pa.array([f"{number} {text}" for number, text in enumerate(documents(60))])
    store = prepare(texts, path, tokenizer=tiny_tokenizer(), block_size=16)
    assert len(np.unique(store[:], axis=0)) == len(store) > 30
    return store


def test_an_epoch_holds_every_block_once_in_an_order_of_its_own(distinct):
    blocks = loader(distinct, mlm_probability=0.0, seed=3)
    first = blocks_of(distinct, list(blocks))
    second = blocks_of(distinct, list(blocks))
    assert sorted(first) == sorted(second) == list(range(len(distinct)))
    assert first != second
    assert first != sorted(first)
    again = loader(distinct, mlm_probability=0.0, seed=3, epoch=1)
    assert blocks_of(distinct, list(again)) == second
    assert blocks_of(distinct, list(loader(distinct, mlm_probability=0.0, shuffle=False))) == list(
        range(len(distinct))
    )


def test_masks_are_those_of_mask_tokens(store):
    manifest = store.manifest
    plan = BlockSampler(len(store), 8, 0, 1, shuffle=True, drop_last=False, seed=5)
    batches = list(loader(store, seed=5, epoch=2, positions=True))
    for number, batch in enumerate(batches):
        numbers = plan.block_ids(number, 2)
        expected = mlmfast.mask_tokens(
            store[numbers],
            mask_token_id=manifest.mask_token_id,
            vocab_size=manifest.vocab_size,
            special_ids=manifest.special_ids,
            seed=5,
            epoch=2,
            block_ids=numbers,
        )
        for name in ("input_ids", "labels", "positions"):
            assert np.array_equal(batch[name].numpy(), getattr(expected, name))
    assert sum(len(batch["labels"]) for batch in batches) == len(store)


@pytest.mark.parametrize("prefetch", [0, 1, 3])
@pytest.mark.parametrize("reuse", [False, True])
def test_prefetching_and_reuse_change_nothing(store, prefetch, reuse):
    expected = list(loader(store, prefetch=0))
    seen = [
        {name: tensor.clone() for name, tensor in batch.items()}
        for batch in loader(store, prefetch=prefetch, reuse_buffers=reuse)
    ]
    assert same(seen, expected)


def test_a_batch_is_the_callers_own(store):
    batches = loader(store)
    kept = list(batches)
    assert same(kept, list(loader(store)))
    assert len({tensor.data_ptr() for batch in kept for tensor in batch.values()}) == 2 * len(kept)


def test_reused_memory_stays_within_the_ring(store):
    pointers = {
        batch["input_ids"].data_ptr() for batch in loader(store, 2, prefetch=2, reuse_buffers=True)
    }
    assert len(pointers) == 3


@settings(max_examples=25, deadline=None)
@given(data=st.data(), prefetch=st.sampled_from([0, 2]), world_size=st.integers(1, 3))
def test_a_restore_goes_on_bit_for_bit(store, data, prefetch, world_size):
    rank = data.draw(st.integers(0, world_size - 1))
    options = {
        "prefetch": prefetch,
        "rank": rank,
        "world_size": world_size,
        "mlm_probability": mlmfast.MaskRateSchedule("0.4:0.1", 30),
    }
    whole = loader(store, 4, **options)
    expected = [*whole, *whole, *whole]
    stop = data.draw(st.integers(0, 2 * len(whole)))
    first = loader(store, 4, **options)
    seen = []
    state = first.state_dict()
    while len(seen) < stop:
        for batch in first:
            seen.append(batch)
            if len(seen) == stop:
                state = first.state_dict()
                break
    state = json.loads(json.dumps(state))
    second = loader(store, 4, **options)
    second.load_state_dict(state)
    while len(seen) < len(expected):
        seen.extend(second)
    assert same(seen, expected)


def test_set_epoch_keeps_a_restored_place_and_moves_otherwise(store):
    expected = list(loader(store, epoch=4))
    first = loader(store, epoch=4)
    for number, _ in enumerate(first):
        if number == 2:
            break
    second = loader(store)
    second.load_state_dict(first.state_dict())
    second.set_epoch(4)
    assert same(list(second), expected[3:])
    assert second.epoch == 5
    second.set_epoch(4)
    assert same(list(second), expected)


def test_a_broken_pass_begins_again(store):
    blocks = loader(store)
    expected = list(loader(store))
    for _ in blocks:
        break
    assert same(list(blocks), expected)


def test_global_batches_do_not_depend_on_the_number_of_ranks(store):
    alone = list(loader(store, 12, seed=2))
    ranks = [list(loader(store, 4, seed=2, rank=rank, world_size=3)) for rank in range(3)]
    for number, whole in enumerate(alone):
        parts = [rank[number] for rank in ranks if number < len(rank)]
        for name in whole:
            assert torch.equal(torch.cat([part[name] for part in parts]), whole[name])


def test_padding_and_every_form_of_output(tmp_path):
    store = open_splits(make_blocks(tmp_path, count=30, remainder="pad"))["train"]
    assert store.manifest.padding_tokens > 0
    options = {"shuffle": False, "masks_per_row": 2, "at_least_one": True}
    dense = list(loader(store, dtype="int32", **options))
    sparse = list(loader(store, labels_at_positions=True, **options))
    for whole, part in zip(dense, sparse, strict=True):
        assert {tensor.dtype for tensor in whole.values()} == {torch.int32}
        assert set(part) == {"input_ids", "attention_mask", "labels", "positions"}
        flat = whole["labels"].flatten()
        assert torch.equal(torch.nonzero(flat != -100).flatten(), part["positions"])
        assert torch.equal(flat[part["positions"]].long(), part["labels"])
        assert torch.equal(whole["attention_mask"].long(), part["attention_mask"])
    attention = torch.cat([batch["attention_mask"] for batch in sparse]).numpy()
    assert np.array_equal(attention == 0, store[:] == store.manifest.pad_token_id)


@pytest.mark.parametrize("mode", ["token", "whole_word", "span"])
def test_modes_come_through(store, mode):
    batches = list(loader(store, mode=mode, random_ids="ordinary", mlm_probability=0.3))
    share = torch.cat([batch["labels"] != -100 for batch in batches]).float().mean()
    assert 0.2 < share < 0.4


def test_the_rate_follows_the_schedule(store):
    schedule = mlmfast.MaskRateSchedule("0.0:1.0", len(loader(store)) - 1)
    batches = list(loader(store, mlm_probability=schedule))
    assert (batches[0]["labels"] == -100).all()
    ordinary = ~torch.isin(batches[-1]["labels"], torch.tensor(store.manifest.special_ids))
    assert (batches[-1]["labels"] != -100).float().mean() > 0.8
    assert ordinary.all()
    assert (next(iter(loader(store, epoch=1, mlm_probability=schedule)))["labels"] != -100).any()


def test_an_error_in_the_thread_comes_out_and_ends_the_pass(store, monkeypatch):
    blocks = loader(store)
    real = BlockSampler.block_ids

    def fails(self, batch, epoch):
        if batch == 2:
            raise OSError("the disk is gone")
        return real(self, batch, epoch)

    monkeypatch.setattr(BlockSampler, "block_ids", fails)
    seen = []
    with pytest.raises(OSError, match="the disk is gone"):
        seen.extend(batch for batch in blocks)
    monkeypatch.undo()
    assert same(list(blocks), list(loader(store)))


def test_dropped_iterators_leave_no_thread(store):
    before = our_threads()
    passes = [iter(loader(store, 1)) for _ in range(5)]
    for one in passes:
        next(one)
    assert len(our_threads() - before) == 5
    del passes, one
    gc.collect()
    assert our_threads() <= before


def test_the_interpreter_ends_in_the_middle_of_a_pass(store):
    script = """
        import sys, mlmfast
        batches = iter(mlmfast.BlockLoader(sys.argv[1], 2))
        next(batches)
        print("end")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(store.path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "end", "")


def _in_child(batches, path, queue):
    try:
        next(batches)
        queue.put("a batch")
    except MlmfastError as error:
        queue.put(str(error))
    batches.close()
    queue.put(sum(len(batch["labels"]) for batch in mlmfast.BlockLoader(path, 8)))


def test_a_fork_in_the_middle_of_a_pass_does_not_hang(store):
    batches = iter(loader(store, 2))
    next(batches)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(batches, store.path, queue))
    child.start()
    try:
        assert "started in another process" in queue.get(timeout=300)
        assert queue.get(timeout=300) == len(store)
        child.join(300)
        assert child.exitcode == 0
    finally:
        child.kill()
    next(batches)
    batches.close()


def test_a_folder_will_do_and_bad_options_are_named(store):
    assert same(list(mlmfast.BlockLoader(str(store.path), 8)), list(loader(store)))
    for options, words in [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"batch_size": 1, "rank": 2, "world_size": 2}, "rank 2 of world_size 2"),
        ({"batch_size": 1, "seed": -1}, "seed must be"),
        ({"batch_size": 1, "epoch": -1}, "epoch must be"),
        ({"batch_size": 1, "prefetch": -1}, "prefetch must be"),
        ({"batch_size": 1, "mlm_probability": 2}, "mlm_probability must be"),
        ({"batch_size": 1, "mode": "words"}, "mode must be"),
        ({"batch_size": 1, "dtype": "float32"}, "dtype must be int64 or int32"),
    ]:
        with pytest.raises(InputError, match=words):
            mlmfast.BlockLoader(store, **options)


def test_a_state_of_other_batches_is_refused(store):
    state = loader(store).state_dict()
    for options, words in [
        ({"seed": 1}, "seed was 0 there, and is 1 here"),
        ({"batch_size": 4}, "batch_size was 8"),
        ({"mode": "span"}, "masks was"),
    ]:
        with pytest.raises(InputError, match=words):
            loader(store, **options).load_state_dict(state)
    with pytest.raises(InputError, match="version None"):
        loader(store).load_state_dict({})
    other = loader(store, rank=1, world_size=2).state_dict()
    loader(store, rank=0, world_size=2).load_state_dict(other)


def test_the_loader_reads_many_shards(store, tmp_path):
    folder = make_blocks(tmp_path, shard_tokens=160)
    many = BlockStore.open(folder / "train")
    assert len(many.manifest.shards) > 3
    assert same(list(loader(many)), list(loader(store)))
