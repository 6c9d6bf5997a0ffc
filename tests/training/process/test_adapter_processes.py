"""Adapters trained in two processes: the same as in one."""

from __future__ import annotations

import pytest
from safetensors.torch import load_file

import processes_at_work as work
from launching import launch
from mlmfast.training.train import train
from stopped_trainings import furthest
from tolerances import LOGGED, SUMS

pytest.importorskip("peft")

OPTIONS = {
    "precision": "fp32",
    "use_cpu": True,
    "report": False,
    "quiet": True,
    "learning_rate": 1e-2,
    "lora": "rank=4",
    "num_train_epochs": 2,
    "logging_steps": 1,
}
ONE = {"per_device_train_batch_size": 20}
TWO = {"per_device_train_batch_size": 5, "gradient_accumulation_steps": 2}


@pytest.fixture(scope="module")
def base(toy_blocks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("base") / "model"
    options = work.WITHOUT_DROPOUT | {"max_steps": 4, "eval_strategy": "no"}
    train(toy_blocks, output=folder, **options)
    return folder


def trained(ended):
    assert [each.status for each in ended] == [0] * len(ended), ended
    return [each.value for each in ended]


@pytest.mark.parametrize("kept", [False, True])
def test_two_processes_train_the_adapters_that_one_does(base, toy_blocks, tmp_path, kept):
    options = OPTIONS | {"model": base, "keep_adapter": kept}
    alone = work.train_on(toy_blocks, tmp_path / "one", options | ONE)
    pair = trained(launch(2, work.train_on, toy_blocks, tmp_path / "two", options | TWO))
    for found in pair:
        assert found[0] == pytest.approx(alone[0], rel=SUMS)
        assert found[1] == pytest.approx(alone[1], abs=LOGGED)  # the log has four digits
        assert found[3]["loss"] == pytest.approx(alone[3]["loss"], rel=SUMS)
    if kept:
        one, two = (load_file(tmp_path / n / "adapter_model.safetensors") for n in ("one", "two"))
        assert one.keys() == two.keys()
        assert max((one[name] - two[name]).abs().max() for name in one) < 100 * SUMS
    else:
        assert furthest(tmp_path / "one", tmp_path / "two") < 100 * SUMS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
