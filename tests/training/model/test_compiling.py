"""Compiling is chosen where a training is long enough to get its price back."""

from __future__ import annotations

import os

import pytest
import torch

from architectures import tiny_model
from mlmfast.training.model.compile import choose_compiling, tokens_of
from mlmfast.training.process.state import state_for
from mlmfast.training.setup.arguments import choose_arguments


@pytest.fixture(scope="module")
def network():
    return tiny_model("roberta")


def test_a_long_training_on_a_gpu_is_compiled_and_a_short_one_not(network):
    weights = sum(each.numel() for each in network.parameters())
    weights -= network.get_input_embeddings().weight.numel()
    hour = 3600 * 1e14 / 6 / weights
    assert choose_compiling("cuda", network, hour).on
    assert not choose_compiling("cuda", network, hour / 10).on
    assert not choose_compiling("cuda", network, hour, gpus=8).on
    assert "60 minutes" in choose_compiling("cuda", network, hour).reason
    assert not choose_compiling("cpu", network, hour).on


def test_tokens_are_counted_by_epochs_or_by_steps():
    assert tokens_of({}, 100, 16) == 3 * 100 * 16
    assert tokens_of({"num_train_epochs": 0.5, "max_steps": None}, 100, 16) == 50 * 16
    given = {"max_steps": 7, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 4}
    assert tokens_of(given, 100, 16, processes=3) == 7 * 2 * 4 * 3 * 16


@pytest.mark.parametrize(
    ("given", "compiled", "asked"),
    [
        ({}, True, True),
        ({"torch_compile": False}, False, False),
        ({"torch_compile": True}, True, False),
        ({"torch_compile_backend": "eager"}, True, False),
    ],
)
def test_what_the_user_says_is_obeyed(given, compiled, asked, network, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "inductor")  # as an earlier training leaves it
    devices = []

    def choose(device):
        devices.append(device)
        return choose_compiling("cuda", network, 1e18)

    found = choose_arguments(
        tmp_path,
        {"use_cpu": True, **given},
        seed=0,
        precision="fp32",
        measured=False,
        resumed=False,
        compiling=choose,
    )
    assert bool(found.torch_compile) is compiled
    assert ("ACCELERATE_DYNAMO_BACKEND" in state_for(found).environment) is compiled
    assert os.environ["ACCELERATE_DYNAMO_BACKEND"] == "inductor"
    assert devices == (["cpu"] if asked else [])
    assert torch.device(found.device).type == "cpu"
