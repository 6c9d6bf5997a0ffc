"""The model card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlmfast.data.store import open_splits
from mlmfast.training.card import model_card, told_arguments
from mlmfast.training.figures import Evaluation
from mlmfast.training.result import TrainResult

MASKS = {"mlm_probability": 0.3, "mask_replace_prob": 0.8, "random_replace_prob": 0.1}
AFTER = Evaluation(
    perplexity=8.5,
    loss=2.14,
    top1=0.5,
    top5=0.75,
    bits_per_byte=0.9,
    masked_tokens=1234,
    blocks=56,
    block_size=16,
    data="blocks/test",
    mlm_probability=0.15,
    seed=0,
    precision="fp32",
    seconds=1.0,
)
RESULT = TrainResult(
    output=Path("some/where/my-model"),
    before=replace(AFTER, perplexity=99.0),
    after=AFTER,
    steps=77,
    epochs=3.0,
    train_loss=2.5,
    seconds=10.0,
    tokens_per_second=1000.0,
    parameters=44_620,
    precision="fp32",
    device="cpu",
)


@pytest.fixture
def card(toy_blocks):
    def make(result=RESULT, base_model=None, picture=None, **given):
        arguments = {"learning_rate": 1e-4, "adam_beta2": 0.98, "hub_token": "secret"} | given
        return model_card(
            result,
            open_splits(toy_blocks)["train"],
            base_model=base_model,
            masks=MASKS,
            arguments=told_arguments(arguments, given),
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


def test_without_an_evaluation(card):
    assert "Not measured." in card(replace(RESULT, before=None, after=None))
    assert "| perplexity | 8.50 |" in card(replace(RESULT, before=None))
