"""`compare`: two models on the same masks."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
import torch
import transformers
from click.testing import CliRunner

from mlmfast.cli.evaluate import command
from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.errors import InputError
from mlmfast.training.evaluation.compare import compare, paired_difference
from mlmfast.training.evaluation.evaluate import evaluate
from mlmfast.training.model.from_scratch import new_model
from toy import TINY, make_blocks


@pytest.fixture(scope="module")
def store(toy_blocks):
    return open_splits(toy_blocks)["test"]


@pytest.fixture(scope="module")
def random_models(store):
    made = []
    for seed in (1, 2):
        transformers.set_seed(seed)
        made.append(new_model(store, model_type="bert", config_overrides=TINY))
    return made


def favouring(model, store, by):
    """A copy that finds the commonest token of the store more probable."""
    copied = copy.deepcopy(model)
    ids, counts = np.unique(store[:], return_counts=True)
    ordinary = ~np.isin(ids, store.manifest.special_ids)
    commonest = int(ids[ordinary][counts[ordinary].argmax()])
    with torch.no_grad():
        copied.get_output_embeddings().bias[commonest] += by
    return copied


def test_a_better_model_is_found_better_either_way_round(random_models, store):
    plain = random_models[0]
    better = favouring(plain, store, 2.0)
    found = compare(better, plain, store, eval_seeds=2, device="cpu")
    assert found.significant
    assert found.difference < 0
    assert found.high < 0
    one, other = (evaluate(each, store, eval_seeds=2, device="cpu") for each in (better, plain))
    # Both masks have nearly the same number of tokens, so the mean of means is nearly the mean.
    assert found.difference == pytest.approx(one.loss - other.loss, rel=0.02)
    swapped = compare(plain, better, store, eval_seeds=2, device="cpu")
    assert (swapped.difference, swapped.low) == pytest.approx((-found.difference, -found.high))


def test_the_paired_error_is_smaller_than_that_of_either_loss(store):
    transformers.set_seed(3)
    wild = new_model(store, model_type="bert", config_overrides=TINY | {"initializer_range": 0.5})
    near = copy.deepcopy(wild)
    with torch.no_grad():
        near.get_output_embeddings().bias += torch.randn(near.config.vocab_size) / 10
    found = compare(near, wild, store, device="cpu")
    assert 0 < found.standard_error < 0.2 * found.against.text_error


def test_a_model_is_not_better_than_itself(random_models, store):
    found = compare(random_models[0], random_models[0], store, device="cpu")
    assert (found.difference, found.significant, found.better) == (0.0, False, None)
    assert "no significant difference" in str(found)


def test_blocks_are_the_clusters():
    """Two thousand tokens of which those of a block are alike are no better than twenty."""
    chance = np.random.default_rng(0)
    by_block = chance.normal(size=20)
    one, other = np.zeros((1, 20, 4)), np.zeros((1, 20, 4))
    one[0, :, 0], one[0, :, 3], other[0, :, 3] = by_block * 100, 100, 100
    difference, error = paired_difference(one, other)
    assert difference == pytest.approx(by_block.mean())
    assert error == pytest.approx(by_block.std(ddof=1) / math.sqrt(20))


def test_the_interval_holds_the_truth_as_often_as_it_says():
    from mlmfast.training.evaluation.statistics import half_width

    chance = np.random.default_rng(1)
    held = 0
    for _ in range(2000):
        masked = chance.integers(1, 30, size=8)
        counts = np.zeros((1, 8, 4))
        counts[0, :, 3] = masked
        # Tokens of a block share a part of their difference.
        counts[0, :, 0] = masked * chance.normal(size=8) + chance.normal(size=8) * masked**0.5
        difference, error = paired_difference(counts, np.zeros_like(counts))
        held += abs(difference) < half_width(0.9, 8) * error
    # The ratio estimator is a little too sure of itself with eight clusters of unequal sizes.
    assert 0.83 < held / 2000 < 0.92


def test_another_tokenizer_is_refused_and_bits_per_byte_named(random_models, store, tmp_path):
    folders = [tmp_path / "one", tmp_path / "other"]
    for model, folder in zip(random_models, folders, strict=True):
        model.save_pretrained(folder)
        load_tokenizer(store.path).save(folder)
    content = json.loads((folders[1] / "tokenizer.json").read_text())
    vocab = content["model"]["vocab"]
    first, second = list(vocab)[-2:]
    vocab[first], vocab[second] = vocab[second], vocab[first]
    (folders[1] / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"bits per byte can.*mean something else"):
        compare(folders[0], folders[1], store, device="cpu")
    # Padding switched on is no other vocabulary.
    load_tokenizer(store.path).save(folders[1])
    content = json.loads((folders[1] / "tokenizer.json").read_text())
    content["truncation"] = {
        "direction": "Right",
        "max_length": 5,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    (folders[1] / "tokenizer.json").write_text(json.dumps(content))
    assert compare(folders[0], folders[1], store, device="cpu").model.blocks == len(store)


def test_too_few_blocks_and_a_confidence_that_cannot_be(random_models, tmp_path):
    few = BlockStore.open(make_blocks(tmp_path, count=3, test_size=None, block_size=32))
    with pytest.raises(InputError, match="needs at least 5"):
        compare(*random_models, few, device="cpu")
    with pytest.raises(InputError, match="confidence is 95"):
        compare(*random_models, few, confidence=95, device="cpu")


def test_the_command(random_models, toy_blocks, store, tmp_path):
    random_models[0].save_pretrained(tmp_path / "plain")
    favouring(random_models[0], store, 2.0).save_pretrained(tmp_path / "better")
    arguments = [str(tmp_path / "better"), "--data", str(toy_blocks), "--device", "cpu"]
    arguments += ["--against", str(tmp_path / "plain"), "--eval-seeds", "4"]
    answer = json.loads(CliRunner().invoke(command, [*arguments, "--json"]).stdout)
    assert answer["better"] == str(tmp_path / "better")
    assert answer["low"] < answer["difference"] < answer["high"] < 0
    spoken = CliRunner().invoke(command, arguments).stdout
    assert f"{tmp_path / 'better'} is better" in spoken
    both = CliRunner().invoke(command, [*arguments, "--pseudo-perplexity", "1"])
    assert isinstance(both.exception, InputError)
