"""Trainings of so many hours: the steps are decided once, and a resume takes the same."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from log_lines import log_lines
from mixed_stores import make_stores
from mlmfast.errors import InputError, OutputExistsError
from mlmfast.training import train as train_module
from mlmfast.training.process.distributed import Processes
from mlmfast.training.setup import hours
from mlmfast.training.setup.speed import Measured
from mlmfast.training.train import train
from mlmfast.training.trainer.interrupt import TrainingInterrupted
from stopped_trainings import At, press_ctrl_c, same_weights
from toy import SCRATCH

OPTIONS = {name: value for name, value in SCRATCH.items() if name != "learning_rate"}
OPTIONS |= {"per_device_train_batch_size": 4, "eval_strategy": "no"}
RECIPE = {
    "learning_rate": 1e-3,
    "hours": 0.01,
    "phases": [
        {"steps": 700, "batch_size": 4, "learning_rate_schedule": "1e-3:5e-4"},
        {"steps": 300, "batch_size": 4, "mask_rate_schedule": "0.3:0.1"},
    ],
}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return make_stores(tmp_path_factory.mktemp("stores"))["large"]


@pytest.fixture
def speed(monkeypatch):
    """Tokens per second that the next training measures: a list, to be changed."""
    found = [16.0]

    def measure(_train, recipe, _mixtures, _data, options):
        assert "from_scratch" in options
        return [Measured(found[0], 1) for _ in recipe.phases]

    monkeypatch.setattr(train_module, "measure_phases", measure)
    return found


def test_a_resume_on_a_slower_machine_takes_the_same_steps(large, speed, tmp_path):
    """A step of 64 tokens takes four seconds: there are 36 / 4 of them."""
    with log_lines() as lines:
        whole = train(large, recipe=RECIPE, output=tmp_path / "one", **OPTIONS)
    assert [phase.steps for phase in whole.phases] == [6, 3]
    assert any("at 16 tokens/s with all lengths multiplied by 0.00" in line for line in lines)
    given = {"recipe": RECIPE, "output": tmp_path / "two", **OPTIONS}
    with pytest.raises(TrainingInterrupted):
        train(large, callbacks=[At(4, press_ctrl_c)], **given)
    speed[0] = 1.0
    with pytest.raises(OutputExistsError):
        train(large, **given)
    given["resume_from_checkpoint"] = "auto"
    with pytest.raises(InputError, match=r"other hours \(0.01, now 5\)"):
        train(large, hours=5.0, **given)
    again = train(large, **given)
    assert again.steps == 9
    assert same_weights(tmp_path / "one", tmp_path / "two")


def test_a_speed_that_is_given_is_not_measured(large, speed, tmp_path):
    speed.clear()
    short = RECIPE | {"tokens_per_second": 16}
    found = train(large, recipe=short, hours=0.0034, output=tmp_path / "out", **OPTIONS)
    assert [phase.steps for phase in found.phases] == [2, 1]


def test_the_speed_of_several_processes_is_not_measured():
    config = SimpleNamespace(tokens_per_second=None, hours=2.0)
    with pytest.raises(InputError, match=r"speed of 2 processes together.*--tokens-per-second"):
        hours._speeds(config, None, [None], None, Processes(0, 2), None)


def test_hours_without_a_recipe(large, tmp_path):
    with pytest.raises(InputError, match="lengths of a recipe's phases"):
        train(large, hours=1, output=tmp_path / "out", **OPTIONS)
