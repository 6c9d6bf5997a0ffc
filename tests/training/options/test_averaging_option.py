"""`average_checkpoints`: what it takes, and what it does not go with."""

from __future__ import annotations

import pytest

from mlmfast.errors import InputError
from mlmfast.training.options.averaging import Averaging
from mlmfast.training.train import train
from toy import SCRATCH


def test_both_kinds_are_read_and_written():
    assert Averaging.parse("last:5") == Averaging(last=5)
    assert Averaging.parse("ema:0.999") == Averaging(decay=0.999)
    assert Averaging.parse(None) is None
    for text in ("last:5", "ema:0.999"):
        assert str(Averaging.parse(text)) == text


@pytest.mark.parametrize(
    "wrong", ["last", "last:1", "last:2.5", "ema:1", "ema:0", "ema:nan", "mean:3", "5", ""]
)
def test_anything_else_is_refused_with_an_example(wrong):
    with pytest.raises(InputError, match=r"average_checkpoints is .*last:5; or ema.*ema:0\.999"):
        Averaging.parse(wrong)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"average_checkpoints": "ema:0.9", "load_best_model_at_end": True}, "give one of them"),
        ({"average_checkpoints": "last:2", "save_strategy": "no"}, "save_strategy is 'no'"),
        ({"average_checkpoints": "last:2", "save_strategy": "best"}, "save_strategy is 'best'"),
    ],
)
def test_options_that_contradict_it_are_refused_before_anything_is_read(tmp_path, options, why):
    with pytest.raises(InputError, match=why):
        train(tmp_path / "no such store", output=tmp_path / "out", **SCRATCH | options)


def test_adapters_are_refused(tmp_path):
    pytest.importorskip("peft")
    with pytest.raises(InputError, match="does not go with lora"):
        train(
            tmp_path / "no such store",
            model="m",
            output=tmp_path / "out",
            lora="rank=2",
            average_checkpoints="ema:0.9",
        )
