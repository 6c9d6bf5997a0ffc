"""The model card."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evaluation_commands import command_of
from mlmfast.data.store.store import open_splits
from mlmfast.training.report.model_card import card_arguments, model_card
from mlmfast.training.train import train
from tolerances import KERNELS
from toy import SCRATCH
from train_results import AFTER, RESULT

MASKS = {"mlm_probability": 0.3, "mask_replace_prob": 0.8, "random_replace_prob": 0.1}


@pytest.fixture
def card(toy_blocks):
    def make(result=RESULT, base_model=None, picture=None, **given):
        arguments = {"learning_rate": 1e-4, "adam_beta2": 0.98, "hub_token": "secret"} | given
        return model_card(
            result,
            open_splits(toy_blocks)["train"],
            base_model=base_model,
            masks=MASKS,
            arguments=card_arguments(arguments, given),
            picture=picture,
        )

    return make


def test_it_tells_what_was_measured_on_what(card, toy_blocks):
    text = card()
    manifest = open_splits(toy_blocks)["train"].manifest
    assert text.startswith("---\nlibrary_name: transformers\npipeline_tag: fill-mask\n")
    assert "# my-model" in text
    assert "| perplexity | 99.00 | 8.50 |" in text
    assert "1,234 masked tokens of 56 blocks" in text
    assert "mlmfast evaluate MODEL --data blocks/test --precision fp32" in text
    assert f"{manifest.blocks:,} blocks of 16 tokens" in text
    assert manifest.tokenizer_sha256 in text
    assert "30% of the ordinary tokens" in text


def test_it_lists_the_usual_arguments_and_those_that_were_given(card):
    text = card()
    assert "| learning_rate | `0.0001` |" in text
    assert "adam_beta2" not in text
    assert "secret" not in text
    assert "| adam_beta2 | `0.9` |" in card(adam_beta2=0.9)


def test_a_token_is_never_told_even_when_it_was_given(card):
    assert "secret" not in card(hub_token="secret")


def test_the_base_model_is_linked_only_if_it_is_a_hub_name(card):
    assert "base_model: distilroberta-base\n" in card(base_model="distilroberta-base")
    assert "base_model: FacebookAI/roberta-base\n" in card(base_model="FacebookAI/roberta-base")
    assert "base_model:" not in card(base_model="/home/me/model")
    assert "trained from random weights" in card()


def test_a_folder_of_this_machine_is_no_base_model(card, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "bert").mkdir(parents=True)
    for name in ("models/bert", "models", "~/model", "some/where/else", "..", "C:\\model"):
        assert "base_model:" not in card(base_model=name), name
        assert f"trained from `{name}`" in card(base_model=name)


def test_the_first_blocks_of_a_store_are_told_as_such(card, toy_blocks):
    few = replace(RESULT, after=replace(AFTER, store_blocks=99), blocks=7)
    manifest = open_splits(toy_blocks)["train"].manifest
    text = card(few)
    assert f"The first 7 of {manifest.blocks} blocks of 16 tokens" in text
    assert "masked tokens of the first 56 of 99 blocks" in text
    assert (
        "--data blocks/test --precision fp32 --documents joined --max-eval-samples 56` measures"
        in text
    )
    whole = replace(RESULT, after=replace(AFTER, store_blocks=56), blocks=manifest.blocks)
    assert "first" not in card(whole).lower().split("## versions")[0]


def test_the_cards_command_measures_the_same(toy_blocks, tmp_path):
    """And card, page and figures tell of as many blocks as were taken."""
    limits = {"max_train_samples": 20, "max_eval_samples": 5}
    options = SCRATCH | {"max_steps": 2, "report": True}
    found = train(toy_blocks, output=tmp_path / "out", **options, **limits)
    assert (found.blocks, found.after.blocks) == (20, 5)
    answer = command_of(found.after, found.output)
    assert answer["masked_tokens"] == found.after.masked_tokens
    assert answer["loss"] == pytest.approx(found.after.loss, rel=KERNELS)
    page = (found.output / "report.html").read_text()
    for text in ((found.output / "README.md").read_text(), page):
        assert "the first 5 of" in text
        assert "he first 20 of" in text
        assert "--max-eval-samples 5" in text


def test_without_an_evaluation(card):
    assert "Not measured." in card(replace(RESULT, before=None, after=None))
    assert "| perplexity | 8.50 |" in card(replace(RESULT, before=None))
