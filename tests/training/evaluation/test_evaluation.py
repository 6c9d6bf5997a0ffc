"""`evaluate`: perplexity, accuracy and bits per byte on fixed masks."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from click.testing import CliRunner
from tqdm import tqdm

from mlmfast.cli.evaluate import command
from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.errors import InputError, NotFoundError
from mlmfast.training.datasets import EvaluationBlocks
from mlmfast.training.evaluation.evaluate import evaluate
from mlmfast.training.evaluation.evaluator import evaluating
from mlmfast.training.evaluation.statistics import ratio_estimate
from mlmfast.training.model.from_scratch import new_model
from tolerances import KERNELS, LAYERS, SUMS
from toy import TINY, make_blocks


@pytest.fixture(scope="module")
def store(toy_blocks):
    return open_splits(toy_blocks)["test"]


@pytest.fixture(scope="module")
def network(store):
    transformers.set_seed(1)
    return new_model(store, model_type="bert", config_overrides=TINY)


@pytest.fixture(scope="module")
def checkpoint(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "model"
    network.save_pretrained(folder)
    return folder


class Oracle(torch.nn.Module):
    """Answers every question with the same logits."""

    def __init__(self, vocab_size, favourite):
        super().__init__()
        self.embedding = torch.nn.Embedding(vocab_size, 1)
        self.row = torch.zeros(vocab_size)
        self.row[favourite] = 2.0

    def get_input_embeddings(self):
        return self.embedding

    def forward(self, input_ids, attention_mask=None):
        logits = self.row.expand(*input_ids.shape, -1)
        return transformers.modeling_outputs.MaskedLMOutput(logits=logits)


def test_the_numbers_by_hand(store):
    ids = store[:]
    favourite = int(ids[0, 5])
    size = store.manifest.vocab_size
    found = evaluate(Oracle(size, favourite), store, mlm_probability=1.0, device="cpu")
    special = torch.isin(
        torch.from_numpy(ids.astype("int64")), torch.tensor(store.manifest.special_ids)
    )
    asked = ids[~special.numpy()]
    hits = (asked == favourite).sum()
    normaliser = math.log(size - 1 + math.exp(2.0))
    loss = normaliser - 2.0 * hits / len(asked)
    assert found.masked_tokens == len(asked)
    assert found.top1 == pytest.approx(hits / len(asked))
    assert found.loss == pytest.approx(loss, rel=KERNELS)
    assert found.perplexity == pytest.approx(math.exp(loss), rel=LAYERS)
    # Every line of the text is wrapped in <s> and </s>, which are never asked for.
    tokens = store.manifest.tokens + store.manifest.dropped_tokens - 2 * store.manifest.documents
    expected = loss / math.log(2) * tokens / store.manifest.text_bytes
    assert found.bits_per_byte == pytest.approx(expected, rel=KERNELS)


def test_batch_size_and_threads_change_nothing(network, store):
    threads = torch.get_num_threads()
    first = evaluate(network, store, batch_size=1, device="cpu")
    torch.set_num_threads(1)
    try:
        second = evaluate(network, store, batch_size=64, device="cpu")
    finally:
        torch.set_num_threads(threads)
    assert first.masked_tokens == second.masked_tokens
    assert first.top1 == second.top1
    assert first.loss == pytest.approx(second.loss, rel=SUMS)


def test_another_seed_asks_other_tokens(network, store):
    first, second = (evaluate(network, store, seed=seed, device="cpu") for seed in (0, 1))
    assert first.loss != second.loss


def test_a_random_model_is_about_as_good_as_guessing(network, store):
    found = evaluate(network, store, device="cpu")
    # Random logits of some tenths raise the loss above log(vocabulary), by half their variance.
    assert found.perplexity == pytest.approx(store.manifest.vocab_size, rel=0.3)


def test_the_model_is_left_as_it_was(network, store):
    network.train()
    evaluate(network, store, device="cpu")
    assert network.training
    network.eval()


def test_a_folder_with_splits_means_its_test_split(checkpoint, toy_blocks, store):
    found = evaluate(checkpoint, toy_blocks, device="cpu")
    assert found.data == str(store.path)
    assert found.blocks == len(store)


def test_bf16_is_close_to_fp32(network, store):
    exact, rough = (
        evaluate(network, store, precision=name, device="cpu") for name in ("fp32", "bf16")
    )
    assert rough.precision == "bf16"
    # bf16 has 8 bits: each number is off by up to 0.4 %, in each of several layers.
    assert rough.loss == pytest.approx(exact.loss, rel=0.02)


def test_no_masked_token_is_an_error(network, store):
    with pytest.raises(InputError, match="nothing to measure"):
        evaluate(network, store, mlm_probability=0.0, device="cpu")


def test_wrong_options(network, store):
    with pytest.raises(InputError, match="batch_size is 0"):
        evaluate(network, store, batch_size=0)
    with pytest.raises(InputError, match="precision is 'fp8'"):
        evaluate(network, store, precision="fp8")


def test_a_model_with_too_small_a_vocabulary(store):
    with pytest.raises(InputError, match="knows 100 tokens"):
        evaluate(Oracle(100, 0), store)


def test_a_model_with_too_few_positions(store):
    small = new_model(
        store, model_type="bert", config_overrides=TINY | {"max_position_embeddings": 8}
    )
    with pytest.raises(InputError, match=r"hold 16 tokens, but the model takes 8.*block-size 8"):
        evaluate(small, store)


def test_robertas_positions_begin_after_the_padding_index(store):
    for positions, fits in ((17, False), (18, True)):
        model = new_model(
            store,
            model_type="roberta",
            config_overrides=TINY | {"max_position_embeddings": positions},
        )
        # <pad> is token 1 of the layout, so two rows of the table are never used.
        if fits:
            assert evaluate(model, store, device="cpu").blocks == len(store)
        else:
            with pytest.raises(InputError, match="takes 15"):
                evaluate(model, store, device="cpu")


def test_missing_model_and_missing_store(checkpoint, toy_blocks, tmp_path):
    with pytest.raises(NotFoundError, match="no model"):
        evaluate(tmp_path / "nowhere" / "at" / "all", toy_blocks)
    with pytest.raises(NotFoundError, match="nowhere"):
        evaluate(checkpoint, tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no config\.json"):
        evaluate(toy_blocks, toy_blocks)


@pytest.mark.parametrize(
    "options",
    [
        {"special_tokens": "document"},
        {"special_tokens": "document", "remainder": "pad"},
        {"special_tokens": "document", "packing": "best_fit"},
        {"special_tokens": "document", "packing": "none"},
        {"special_tokens": "document", "packing": "none", "block_size": 8},  # cuts most lines
        {"special_tokens": "block"},
        {"special_tokens": "none"},
        {"special_tokens": "none", "packing": "none"},
    ],
    ids=str,
)
def test_bits_per_byte_counts_the_texts_own_tokens(tmp_path, options):
    """Padding and what the tokenizer puts around a text are none of them, whatever the blocks."""
    store = BlockStore.open(make_blocks(tmp_path, count=30, test_size=None, **options))
    lines = (tmp_path / "text.txt").read_text().splitlines()
    tokenizer = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer" / "tokenizer.json"))
    tokens = sum(len(tokenizer.encode(line, add_special_tokens=False).ids) for line in lines)
    size = store.manifest.vocab_size
    found = evaluate(Oracle(size, 7), store, mlm_probability=0.5, device="cpu")
    expected = found.loss / math.log(2) * tokens / sum(map(len, lines))
    assert found.bits_per_byte == pytest.approx(expected)


def test_the_command(checkpoint, toy_blocks):
    arguments = [str(checkpoint), "--data", str(toy_blocks), "--device", "cpu"]
    found = CliRunner().invoke(command, [*arguments, "--json"])
    answer = json.loads(found.stdout)
    assert answer["masked_tokens"] > 0
    assert answer["perplexity"] == pytest.approx(math.exp(answer["loss"]))
    spoken = CliRunner().invoke(command, [*arguments, "--batch_size", "8"])
    assert f"perplexity {answer['perplexity']:,.2f}" in spoken.stdout


def test_several_seeds_give_the_mean_and_its_standard_error(network, store):
    alone = [evaluate(network, store, seed=seed, device="cpu") for seed in (3, 4, 5)]
    found = evaluate(network, store, seed=3, eval_seeds=3, device="cpu")
    for name in ("perplexity", "loss", "top1", "top5", "bits_per_byte"):
        values = torch.tensor([getattr(one, name) for one in alone], dtype=torch.float64)
        # Both are computed in float64.
        assert getattr(found, name) == pytest.approx(values.mean().item(), rel=1e-9)
        expected = (values.std() / math.sqrt(3)).item()
        assert found.standard_errors[name] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert found.masked_tokens == sum(one.masked_tokens for one in alone)
    assert f"{found.perplexity:,.2f} ± {found.standard_errors['perplexity']:,.2f}" in str(found)
    assert alone[0].standard_errors is None
    with pytest.raises(InputError, match="eval_seeds is 0"):
        evaluate(network, store, eval_seeds=0)


def test_the_error_over_texts_foretells_how_far_other_text_differs(network, tmp_path):
    """Losses of many small samples of one language spread as each of them says."""
    store = BlockStore.open(make_blocks(tmp_path, count=400, test_size=None))
    whole = evaluate(network, store, device="cpu", mlm_probability=0.5)
    with evaluating(network, "cpu", "fp32") as measured:
        counts = measured.block_counts(
            EvaluationBlocks(store, mlm_probability=0.5), 64, tqdm(disable=True)
        )
    samples = [ratio_estimate(part[:, 0], part[:, 3]) for part in np.array_split(counts, 20)]
    spread = np.std([one.mean for one in samples], ddof=1)
    foretold = np.mean([one.error for one in samples])
    assert 0.6 < foretold / spread < 1.7
    # The spread of 20 samples is known to 1 / sqrt(2 * 19), 16 %; so is the mean of their errors.
    assert whole.text_error == pytest.approx(foretold / math.sqrt(20), rel=0.2)


def test_the_command_gives_standard_errors_and_pseudo_perplexity(checkpoint, toy_blocks):
    arguments = [str(checkpoint), "--data", str(toy_blocks), "--device", "cpu", "--json"]
    arguments += ["--eval-seeds", "2", "--pseudo-perplexity", "1", "--pseudo-method", "original"]
    answer = json.loads(CliRunner().invoke(command, arguments).stdout)
    assert answer["eval_seeds"] == 2
    assert answer["standard_errors"]["perplexity"] > 0
    assert answer["pseudo_perplexity"]["method"] == "original"
