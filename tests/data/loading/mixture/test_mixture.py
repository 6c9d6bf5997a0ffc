"""`mlmfast.Mixture`, and the batches that loaders make of it."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
import torch

import mlmfast
from mixed_stores import make_stores
from mlmfast.data.loading.mixture.order import source_seed
from mlmfast.data.store.store import open_splits
from mlmfast.data.store.text_tokens import text_tokens
from mlmfast.errors import InputError, NotFoundError
from toy import make_blocks


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return make_stores(tmp_path_factory.mktemp("stores"))


@pytest.fixture(scope="module")
def mixture(folders):
    return mlmfast.Mixture([folders["large"], folders["small"]], [0.5, 0.5])


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def rows_of(batches):
    """Input ids with labels, row by row, in no order."""
    both = [torch.cat([batch["input_ids"], batch["labels"]], 1) for batch in batches]
    return sorted(map(tuple, torch.cat(both).tolist()))


def test_stores_have_the_names_of_their_folders_and_keep_their_tests(folders):
    found = mlmfast.Mixture(list(folders.values()), [2, 1, 1])
    assert found.names == ("large", "small", "padded")
    assert found.probabilities == (0.5, 0.25, 0.25)
    assert list(found.tests) == ["large", "small"]
    assert len(found) == sum(len(open_splits(folder)["train"]) for folder in folders.values())
    named = mlmfast.Mixture({"one": folders["large"], "two": folders["small"] / "train"})
    assert named.names == ("one", "two")
    assert list(named.tests) == ["one"]
    sizes = [len(store) for store in named.stores]
    assert named.probabilities == pytest.approx([size / sum(sizes) for size in sizes])
    flat = mlmfast.Mixture([folders["large"], folders["small"]], temperature=5)
    assert named.probabilities[0] > flat.probabilities[0] > 0.5


def test_weights_as_a_command_line_has_them(folders):
    large, small = str(folders["large"]), str(folders["small"])
    of_weights = mlmfast.Mixture.of_weights
    assert of_weights([(large, "3"), (small, "1")]).probabilities == (0.75, 0.25)
    by_size = of_weights([(large, "auto"), (small, "auto")], 2.0)
    assert by_size.probabilities == mlmfast.Mixture([large, small], temperature=2.0).probabilities
    with pytest.raises(InputError, match="give auto for all stores"):
        of_weights([(large, "0.5"), (small, "auto")])
    with pytest.raises(InputError, match=r"weight of .*small is 'half'; expected a number or auto"):
        of_weights([(large, "0.5"), (small, "half")])
    with pytest.raises(InputError, match=r"temperature of a mixture \(2\) is for shares by size"):
        of_weights([(large, "0.5"), (small, "0.5")], 2.0)


def test_stores_that_cannot_be_mixed_are_named(folders, tmp_path):
    large = folders["large"]
    (tmp_path / "other").mkdir()
    other = make_blocks(tmp_path / "other", count=30)
    with pytest.raises(InputError, match=f"{large}/train and {other}/train cannot be mixed: their"):
        mlmfast.Mixture([large, other])
    text, tokenizer = (large.with_name(name) for name in ("large.txt", "tokenizer"))
    longer = mlmfast.prepare(str(text), tmp_path / "longer", tokenizer=tokenizer, block_size=32)
    with pytest.raises(InputError, match="longer cannot be mixed: their block_size is 16 and 32"):
        mlmfast.Mixture([large, longer])
    with pytest.raises(InputError, match="large/train comes twice in the mixture"):
        mlmfast.Mixture([large, large / "train"])
    with pytest.raises(InputError, match="needs a block store at least"):
        mlmfast.Mixture([])
    with pytest.raises(NotFoundError, match="nowhere"):
        mlmfast.Mixture([large, tmp_path / "nowhere"])


def test_it_pickles_and_its_repr_makes_it_again(mixture):
    for again in (pickle.loads(pickle.dumps(mixture)), eval(repr(mixture))):
        assert again.names == mixture.names
        assert again.probabilities == mixture.probabilities
        first = next(iter(mlmfast.BlockLoader(again, 8, seed=3)))
        assert equal(first, next(iter(mlmfast.BlockLoader(mixture, 8, seed=3))))


def test_a_block_has_the_masks_of_its_sources_seed_and_epoch(mixture):
    """The small store comes several times in an epoch, each time under other masks."""
    order = mixture.order(7)
    loader = mlmfast.BlockLoader(mixture, len(mixture), seed=7)
    (batch,) = list(loader)
    manifest, first, repeats = mixture.joined.manifest, 0, set()
    for run in order.runs(np.arange(len(mixture), dtype=np.uint64), 0):
        masked = mlmfast.mask_tokens(
            mixture.stores[run.source][run.blocks],
            mask_token_id=manifest.mask_token_id,
            vocab_size=manifest.vocab_size,
            special_ids=manifest.special_ids,
            seed=source_seed(7, run.source),
            epoch=run.epoch,
            block_ids=run.blocks,
        )
        last = first + len(run.blocks)
        assert np.array_equal(batch["input_ids"][first:last].numpy(), masked.input_ids)
        assert np.array_equal(batch["labels"][first:last].numpy(), masked.labels)
        repeats |= {run.epoch} if run.source == 1 else set()
        first = last
    assert first == len(mixture)
    assert len(repeats) > 1


def test_a_mixture_of_one_store_is_the_store(folders):
    store = open_splits(folders["large"])["train"]
    mixed = mlmfast.BlockLoader(mlmfast.Mixture([store]), 8, seed=5, epoch=3)
    plain = mlmfast.BlockLoader(store, 8, seed=5, epoch=3)
    for one, other in zip(mixed, plain, strict=True):
        assert equal(one, other)


def test_ranks_read_the_same_blocks_as_one_process(mixture):
    alone = mlmfast.BlockLoader(mixture, 9, seed=1, epoch=2)
    ranks = [
        mlmfast.BlockLoader(mixture, 3, seed=1, epoch=2, rank=rank, world_size=3)
        for rank in range(3)
    ]
    assert rows_of(alone) == rows_of(batch for loader in ranks for batch in loader)


def test_a_loader_resumes_at_its_batch_and_refuses_other_shares(mixture, folders):
    batches = list(mlmfast.BlockLoader(mixture, 8, seed=1))
    started = mlmfast.BlockLoader(mixture, 8, seed=1, prefetch=0)
    for _ in itertools.islice(started, 2):
        pass
    state = started.state_dict()
    resumed = mlmfast.BlockLoader(mixture, 8, seed=1)
    resumed.load_state_dict(state)
    assert all(equal(one, other) for one, other in zip(resumed, batches[2:], strict=True))
    other = mlmfast.Mixture([folders["large"], folders["small"]], [0.6, 0.4])
    with pytest.raises(InputError, match=r"mixture was .32768, 32768.* and is .39322, 26214"):
        mlmfast.BlockLoader(other, 8, seed=1).load_state_dict(state)


def test_padding_of_one_store_gives_the_rows_of_the_others_an_attention_mask(folders):
    mixture = mlmfast.Mixture([folders["small"], folders["padded"]], [0.5, 0.5])
    loader = mlmfast.BlockLoader(mixture, len(mixture), labels_at_positions=True, documents=True)
    (batch,) = list(loader)
    pad = mixture.joined.manifest.pad_token_id
    sources = [
        run.source
        for run in mixture.order(0).runs(np.arange(len(mixture), dtype=np.uint64), 0)
        for _ in run.blocks
    ]
    of_padded = torch.tensor(sources) == 1
    assert (batch["attention_mask"][~of_padded] == 1).all()
    assert (batch["attention_mask"][of_padded] == 0).any()
    assert (batch["document_ids"][batch["attention_mask"] == 0] == -1).all()
    assert (batch["input_ids"][batch["attention_mask"] == 0] == pad).all()
    (whole,) = list(mlmfast.BlockLoader(mixture, len(mixture)))
    positions = torch.from_numpy(np.flatnonzero(whole["labels"].numpy() != -100))
    assert torch.equal(batch["positions"], positions)
    assert torch.equal(batch["labels"], whole["labels"].flatten()[positions])


def test_whole_words_are_those_of_the_tokenizer_in_every_store(mixture):
    def rows(store):
        loader = mlmfast.BlockLoader(store, 99, mode="whole_word", seed=source_seed(2, 1))
        return rows_of(loader)

    drawn = rows_of(mlmfast.BlockLoader(mixture, 99, mode="whole_word", seed=2))
    assert set(rows(mixture.stores[1])) <= set(drawn)


def test_an_order_that_is_not_the_mixtures_is_refused(mixture):
    for option in ({"shuffle": False}, {"pack_documents": True}):
        with pytest.raises(InputError, match=f"{next(iter(option))}.* does not go with a mixture"):
            mlmfast.BlockLoader(mixture, 8, **option)


def test_the_joined_store_is_all_blocks_one_store_after_the_other(folders):
    mixture = mlmfast.Mixture(list(folders.values()))
    joined, stores = mixture.joined, mixture.stores
    assert np.array_equal(joined[:], np.concatenate([store[:] for store in stores]))
    assert joined.manifest.blocks == len(joined) == len(mixture)
    assert text_tokens(joined) == sum(map(text_tokens, stores))
    assert joined.manifest.text_bytes == sum(store.manifest.text_bytes for store in stores)
    assert pickle.loads(pickle.dumps(joined)).fingerprint == joined.fingerprint
    assert joined.to_datasets()[len(stores[0])]["input_ids"] == stores[1][0].tolist()
    ids = np.arange(len(joined), dtype=np.uint64)
    apart = [store.document_ids(ids[: len(store)]) for store in stores]
    assert np.array_equal(joined.document_ids(ids), np.concatenate(apart))
    assert joined.tokenizer.name == stores[0].tokenizer.name
    joined.verify()
