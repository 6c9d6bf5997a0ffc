"""Pseudo-perplexity: every token masked in turn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import transformers

from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.data.tokenization.load import load_tokenizer
from mlmfast.errors import InputError
from mlmfast.training.evaluation.evaluate import evaluate
from mlmfast.training.evaluation.pseudo_perplexity import mask_in_turn
from mlmfast.training.model.from_scratch import new_model
from tiny_models import WORDS
from tolerances import KERNELS, LAYERS, SUMS
from toy import TINY


@pytest.fixture(scope="module")
def store(toy_blocks):
    return open_splits(toy_blocks)["test"]


@pytest.fixture(scope="module")
def network(store):
    transformers.set_seed(1)
    overrides = TINY | {"initializer_range": 0.3}
    return new_model(store, model_type="roberta", config_overrides=overrides)


def slow_score(network, store, rows, *, whole_words):
    """Minus the pseudo-log-likelihood of a token, by one pass a token with the dense head."""
    pieces = {
        index: piece for piece, index in load_tokenizer(store.path).tokenizer.get_vocab().items()
    }
    special, total, count = set(store.manifest.special_ids), 0.0, 0
    network.eval()
    for row in rows:
        for place, target in enumerate(row):
            if int(target) in special:
                continue
            masked = row.astype("int64").copy()
            masked[place] = store.manifest.mask_token_id
            after = place + 1
            while whole_words and after < len(row) and int(row[after]) not in special:
                if pieces[int(row[after])].startswith("\u0120"):
                    break
                masked[after] = store.manifest.mask_token_id
                after += 1
            with torch.no_grad():
                logits = network(input_ids=torch.from_numpy(masked)[None]).logits[0, place]
            total -= logits.log_softmax(-1)[int(target)].item()
            count += 1
    return total / count


@pytest.mark.parametrize("method", ["word_l2r", "original"])
def test_it_is_what_one_pass_a_token_gives(network, store, method):
    found = evaluate(
        network,
        store,
        pseudo_perplexity=len(store),
        pseudo_method=method,
        documents="joined",
        device="cpu",
    ).pseudo_perplexity
    expected = slow_score(network, store, store[:], whole_words=method == "word_l2r")
    assert found.loss == pytest.approx(expected, rel=KERNELS)
    assert found.perplexity == pytest.approx(math.exp(expected), rel=LAYERS)
    assert found.blocks == len(store)


def test_each_document_of_a_block_is_scored_alone(network, store):
    found = evaluate(network, store, pseudo_perplexity=len(store), documents="separate")
    numbers = store.document_ids(np.arange(len(store), dtype=np.uint64))
    texts = [
        block[own == number]
        for block, own in zip(store[:], numbers, strict=True)
        for number in range(own.max() + 1)
    ]
    assert len(texts) > len(store)
    expected = slow_score(network, store, texts, whole_words=True)
    assert found.pseudo_perplexity.loss == pytest.approx(expected, rel=KERNELS)


def test_batch_size_changes_nothing_and_the_seed_draws_the_blocks(network, store):
    def measure(**options):
        found = evaluate(network, store, pseudo_perplexity=2, device="cpu", **options)
        return found.pseudo_perplexity

    first = measure(batch_size=1)
    assert measure(batch_size=64).loss == pytest.approx(first.loss, rel=SUMS)
    assert len({round(measure(seed=seed).loss, 6) for seed in range(4)}) > 1


def test_words_are_masked_to_their_end():
    starts = np.ones(100, dtype=bool)
    starts[[11, 12]] = False  # pieces that go on with a word
    ids = np.array([0, 10, 11, 12, 20, 11, 2])
    asked = ~np.isin(ids, [0, 2])
    rows, positions = mask_in_turn(ids, asked, starts, 99)
    assert positions.tolist() == [1, 2, 3, 4, 5]
    assert rows.tolist() == [
        [0, 99, 99, 99, 20, 11, 2],
        [0, 10, 99, 99, 20, 11, 2],
        [0, 10, 11, 99, 20, 11, 2],
        [0, 10, 11, 12, 99, 99, 2],
        [0, 10, 11, 12, 20, 99, 2],
    ]


def test_it_agrees_with_what_fill_mask_scores(tiny_model, tmp_path):
    """The same model as checkpoint and as ONNX folder, a text that is a padded block of its own."""
    from mlmfast.data.prepare.api import prepare
    from mlmfast.serving.fill_mask import FillMask

    model = tiny_model("bert")
    text = " ".join(WORDS.split()[:9])
    (tmp_path / "text.txt").write_text(text + "\n")
    prepare(
        str(tmp_path / "text.txt"),
        tmp_path / "blocks",
        tokenizer=model.checkpoint,
        packing="none",
        block_size=32,
    )
    store = BlockStore.open(tmp_path / "blocks")
    fill_mask = FillMask(model.onnx)
    for method in ("word_l2r", "original"):
        found = evaluate(
            model.checkpoint,
            store,
            mlm_probability=1.0,
            pseudo_perplexity=1,
            pseudo_method=method,
            device="cpu",
        ).pseudo_perplexity
        served = fill_mask.score(text, method=method, per_token=True)
        assert found.tokens == len(served["tokens"])
        assert found.loss * found.tokens == pytest.approx(-served["score"], rel=LAYERS)


def test_wrong_options(network, store):
    with pytest.raises(InputError, match="pseudo_perplexity is 0"):
        evaluate(network, store, pseudo_perplexity=0)
    with pytest.raises(InputError, match="pseudo_method is 'best'"):
        evaluate(network, store, pseudo_perplexity=1, pseudo_method="best")
