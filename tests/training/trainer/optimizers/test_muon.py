"""Muon for the matrices of the layers, AdamW for the rest."""

from __future__ import annotations

import copy
import importlib.util
import logging

import pytest
import torch
import transformers

from mlmfast.errors import InputError, MissingDependencyError
from mlmfast.training.train import train
from mlmfast.training.trainer.interrupt import TrainingInterrupted
from mlmfast.training.trainer.optimizers.muon import MuonWithAdamW, matrices_of
from stopped_trainings import At, press_ctrl_c, same_weights
from toy import SCRATCH, TINY

OPTIONS = SCRATCH | {"optim": "muon", "max_steps": 6, "weight_decay": 0.1}


def network():
    torch.manual_seed(0)
    layers = [torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)]
    return torch.nn.Sequential(*layers)


def step(model, *optimizers):
    model(torch.ones(4, 6)).square().sum().backward()
    for each in optimizers:
        each.step()
        each.zero_grad()


def both(model):
    matrices = [model[0].weight, model[2].weight]
    biases = [{"params": [model[0].bias, model[2].bias], "weight_decay": 0.0}]
    return matrices, biases


def combined(model):
    matrices, biases = both(model)
    return MuonWithAdamW(matrices, biases, lr=0.1, weight_decay=0.01, betas=(0.9, 0.98), eps=1e-6)


def test_it_is_both_optimizers_of_torch_also_after_its_state_was_loaded():
    model, other = network(), network()
    matrices, biases = both(model)
    muon = torch.optim.Muon(matrices, lr=0.1, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(biases, lr=0.1, betas=(0.9, 0.98), eps=1e-6)
    optimizer = combined(other)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: 1 / (1 + done))
    for number in range(6):
        if number == 3:
            kept = copy.deepcopy(optimizer.state_dict())
            optimizer = combined(other)
            optimizer.load_state_dict(kept)
            schedule.optimizer = optimizer
        for group in (*muon.param_groups, *adamw.param_groups):
            group["lr"] = 0.1 / (1 + number)
        step(model, muon, adamw)
        step(other, optimizer)
        schedule.step()
    for one, same in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, same)


def test_the_matrices_are_those_of_the_layers():
    sizes = TINY | {"vocab_size": 50, "max_position_embeddings": 20}
    config = transformers.AutoConfig.for_model("roberta", **sizes)
    model = transformers.AutoModelForMaskedLM.from_config(config)
    own = set(map(id, matrices_of(model)))
    names = {name for name, each in model.named_parameters() if id(each) in own}
    assert len(names) == 2 * 6  # queries, keys, values, output and two of the feed-forward network
    assert all(name.startswith("roberta.encoder.layer.") for name in names)
    for each in model.roberta.encoder.parameters():
        each.requires_grad = False
    with pytest.raises(InputError, match="a roberta model has none that are trained"):
        matrices_of(model)


@pytest.fixture(scope="module")
def whole(toy_blocks, tmp_path_factory):
    return train(toy_blocks, output=tmp_path_factory.mktemp("whole") / "model", **OPTIONS)


def test_a_stopped_training_ends_with_the_same_bits(whole, toy_blocks, tmp_path, caplog):
    assert whole.after.loss < whole.before.loss
    given = OPTIONS | {"output": tmp_path / "cut"}
    with (
        caplog.at_level(logging.INFO, logger="mlmfast"),
        pytest.raises(TrainingInterrupted),
    ):
        train(toy_blocks, callbacks=[At(3, press_ctrl_c)], **given)
    assert any(line.startswith("Muon trains 16,384 of ") for line in caplog.messages)
    with pytest.raises(InputError, match="optim muon -> adamw_torch"):
        train(toy_blocks, resume_from_checkpoint=True, **given | {"optim": "adamw_torch"})
    train(toy_blocks, resume_from_checkpoint=True, **given)
    assert same_weights(tmp_path / "cut", whole.output)


def test_muon_does_not_train_adapters(whole, toy_blocks, tmp_path):
    pytest.importorskip("peft")
    shape = ("from_scratch", "model_type", "config_overrides")
    options = {name: value for name, value in OPTIONS.items() if name not in shape}
    given = options | {"model": whole.output, "lora": "rank=2", "output": tmp_path / "out"}
    with pytest.raises(InputError, match="optim muon is for whole matrices"):
        train(toy_blocks, **given)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(
    importlib.util.find_spec("optimi") is not None, reason="the package is installed"
)
def test_an_optimizer_whose_package_is_missing_is_refused(toy_blocks, tmp_path):
    given = OPTIONS | {"optim": "stable_adamw", "output": tmp_path / "out"}
    with pytest.raises(MissingDependencyError, match="optim stable_adamw cannot be used"):
        train(toy_blocks, **given)
    assert not list(tmp_path.iterdir())
