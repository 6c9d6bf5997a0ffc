"""Our collator in the workers of a `DataLoader`: what repeats from run to run, and what is new."""

from __future__ import annotations

import copy
import functools
import multiprocessing
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import mlmfast
from collator_rows import texts
from mlmfast.errors import InputError
from tiny_tokenizers import bert_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return bert_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def rows(tokenizer):
    return tokenizer(sorted(set(texts(40))))["input_ids"]


def collator_of(tokenizer, seed=42, **options):
    return mlmfast.DataCollatorForLanguageModeling(
        tokenizer, mlm_probability=0.4, seed=seed, **options
    )


def labels(loader):
    """The labels of a pass, batch by batch."""
    return [batch["labels"].tolist() for batch in loader]


def passes(rows, collate_fn, workers, *, count=3, **options):
    loader = DataLoader(rows, 4, collate_fn=collate_fn, num_workers=workers, **options)
    return [labels(loader) for _ in range(count)]


@pytest.mark.parametrize(
    ("workers", "options"),
    [
        (0, {}),
        (1, {}),
        (2, {}),
        (2, {"persistent_workers": True}),
    ],
    ids=["no workers", "one", "two", "persistent"],
)
def test_a_seed_repeats_a_run_and_every_pass_is_new(tokenizer, rows, workers, options):
    torch.manual_seed(1)
    first = passes(rows, collator_of(tokenizer), workers, **options)
    torch.manual_seed(2)
    assert passes(rows, collator_of(tokenizer), workers, **options) == first
    assert passes(rows, collator_of(tokenizer, seed=43), workers, **options) != first
    assert first[0] != first[1] != first[2] != first[0]


def test_a_pass_that_ends_early_changes_no_later_run(tokenizer, rows):
    def run():
        loader = DataLoader(rows, 4, collate_fn=collator_of(tokenizer), num_workers=2)
        next(iter(loader))
        return labels(loader)

    assert run() == run()


def test_forked_and_spawned_workers_draw_the_same_masks(tokenizer, rows):
    # So a seed repeats a run, and every pass is new, with spawned workers too.
    def one_pass(method):
        return passes(rows, collator_of(tokenizer), 1, count=2, multiprocessing_context=method)

    assert one_pass("fork") == one_pass("spawn")


def test_workers_do_not_share_masks(tokenizer):
    row = tokenizer(" ".join(["abstain", "from", "answers"] * 20))["input_ids"]
    (found,) = passes([row] * 8, collator_of(tokenizer), 2, count=1)
    assert found[0] != found[1]


def double(collator, batch):
    return collator([*batch, *batch])


class Holder:
    """Holds a collator without being callable itself."""

    def __init__(self, collator):
        self.collator = collator

    def collate(self, batch):
        return self.collator(batch)


WRAPPERS = {
    "partial": lambda collator: functools.partial(double, collator),
    "method": lambda collator: Holder(collator).collate,
    "closure": lambda collator: lambda batch: collator(batch[:]),
    "out of sight": lambda collator: lambda batch, held=[collator]: held[0](batch),
}


@pytest.mark.parametrize("kind", WRAPPERS)
def test_a_wrapped_collator_is_counted_too(tokenizer, rows, kind):
    first = passes(rows, WRAPPERS[kind](collator_of(tokenizer)), 1, count=2)
    assert first[0] != first[1]
    if kind != "out of sight":  # then any other collator that is alive is counted as well
        assert passes(rows, WRAPPERS[kind](collator_of(tokenizer)), 1, count=2) == first


def test_other_processes_and_other_loaders_do_not_count(tokenizer, rows):
    collator, other = collator_of(tokenizer), collator_of(tokenizer)
    expected = passes(rows, collator_of(tokenizer), 1, count=1)
    process = multiprocessing.get_context("fork").Process(target=len, args=([],))
    process.start()
    process.join()
    passes(rows, other, 1, count=2)
    assert passes(rows, collator, 1, count=1) == expected


def test_copies_in_one_process_draw_what_the_original_draws(tokenizer, rows):
    collator = collator_of(tokenizer)
    copies = [copy.deepcopy(collator), pickle.loads(pickle.dumps(collator))]
    expected = collator(rows)["labels"]
    assert all(torch.equal(made(rows)["labels"], expected) for made in copies)


@pytest.mark.parametrize(("method", "seed"), [("fork", None), ("fork", 5), ("spawn", None)])
def test_persistent_workers_follow_set_epoch(tokenizer, rows, seed, method):
    torch.manual_seed(3)
    collator = collator_of(tokenizer, seed)
    loader = DataLoader(
        rows,
        4,
        collate_fn=collator,
        num_workers=1,
        persistent_workers=True,
        multiprocessing_context=method,
    )
    labels(loader)  # the workers live before the first epoch is set
    found = []
    for epoch in (0, 1, 0):
        collator.set_epoch(epoch)
        found.append(labels(loader))
        assert found[-1] == labels(DataLoader(rows, 4, collate_fn=collator))
    assert found[0] == found[2] != found[1]


@pytest.mark.parametrize("framework", ["pt", "np"])
def test_numpy_and_torch_repeat_alike(tokenizer, rows, framework):
    options = {"return_tensors": framework}
    first = passes(rows, collator_of(tokenizer, **options), 1, count=1)
    torch.manual_seed(8)
    np.random.seed(8)  # noqa: NPY002
    assert passes(rows, collator_of(tokenizer, **options), 1, count=1) == first


@pytest.mark.parametrize("epoch", [-1, 2**63])
def test_an_epoch_out_of_range_is_refused(tokenizer, epoch):
    with pytest.raises(InputError, match="epoch must be between 0 and 2\\^63 - 1"):
        collator_of(tokenizer).set_epoch(epoch)
