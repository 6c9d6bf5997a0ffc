"""The defaults of a training that starts from random weights."""

from __future__ import annotations

import json
import logging

import pytest
import transformers

from mlmfast.training.options.from_scratch import SCRATCH_DEFAULTS, with_defaults
from mlmfast.training.train import train
from toy import TINY

TOY = {"config_overrides": TINY, "max_steps": 1, "use_cpu": True, "report": False, "quiet": True}


def arguments_of(folder):
    import torch

    return torch.load(folder / "training_args.bin", weights_only=False)


def test_random_weights_have_defaults_of_their_own(toy_blocks, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "mlmfast"):
        train(toy_blocks, output=tmp_path / "new", model_type="bert", **TOY)
    arguments = arguments_of(tmp_path / "new")
    assert {name: getattr(arguments, name) for name in SCRATCH_DEFAULTS} == SCRATCH_DEFAULTS
    assert arguments.get_warmup_steps(1000) == 60
    summary = json.loads((tmp_path / "new" / "mlmfast_training.json").read_text())
    assert summary["masks"]["mlm_probability"] == 0.3
    assert summary["after"]["mlm_probability"] == 0.15
    assert "learning_rate 0.0005" in caplog.text
    assert "0.3 of the tokens" in caplog.text


def test_what_is_given_wins_and_a_checkpoint_keeps_the_guides(toy_blocks, tmp_path):
    given = {"learning_rate": 1e-3, "warmup_steps": 0, "adam_beta2": 0.999}
    options = TOY | given | {"mlm_probability": 0.2}
    train(toy_blocks, output=tmp_path / "new", model_type="bert", **options)
    arguments = arguments_of(tmp_path / "new")
    assert {name: getattr(arguments, name) for name in given} == given
    assert arguments.get_warmup_steps(1000) == 0
    assert arguments.adam_epsilon == SCRATCH_DEFAULTS["adam_epsilon"]
    summary = json.loads((tmp_path / "new" / "mlmfast_training.json").read_text())
    assert summary["masks"]["mlm_probability"] == 0.2
    options = {name: value for name, value in TOY.items() if name != "config_overrides"}
    train(toy_blocks, model=tmp_path / "new", output=tmp_path / "old", **options)
    arguments = arguments_of(tmp_path / "old")
    assert (arguments.learning_rate, arguments.adam_beta2) == (2e-5, 0.999)
    summary = json.loads((tmp_path / "old" / "mlmfast_training.json").read_text())
    assert summary["masks"]["mlm_probability"] == 0.15


@pytest.mark.parametrize("given", [{"warmup_steps": 10}, {"warmup_ratio": 0.0}])
def test_a_warm_up_that_is_given_is_the_only_one(given):
    if set(given) <= set(transformers.TrainingArguments.__dataclass_fields__):
        found = with_defaults(dict(given), is_new=True)
        assert {name: found[name] for name in found if name.startswith("warmup")} == given
