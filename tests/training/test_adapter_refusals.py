"""Trainings with adapters that cannot be: each is refused before anything is written."""

from __future__ import annotations

import sys

import pytest
import transformers

from adapter_trainings import OPTIONS, base  # noqa: F401 (a fixture)
from mlmfast.errors import InputError, MissingDependencyError
from mlmfast.training.evaluation.evaluate import evaluate
from mlmfast.training.train import train
from tolerances import KERNELS

pytest.importorskip("peft")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"from_scratch": True, "model_type": "bert", "model": None}, "leave out lora"),
        ({"lora": None, "keep_adapter": True}, "keep_adapter is for a training with adapters"),
        ({"lora": "rank=none"}, "rank of lora"),
        ({"lora": "targets=q_proj"}, "names 'q_proj'.*all-linear"),
        ({"keep_adapter": True, "rope_theta": 1000.0}, "rope_theta changes the model"),
    ],
)
def test_what_is_refused_leaves_nothing(base, toy_blocks, tmp_path, given, message):
    with pytest.raises(InputError, match=message):
        train(toy_blocks, output=tmp_path / "out", **{"model": base} | OPTIONS | given)
    assert not list(tmp_path.iterdir())


def test_divided_weights_are_refused(base, toy_blocks, tmp_path, monkeypatch):
    create = transformers.Trainer.create_accelerator_and_postprocess

    def divided(self):
        create(self)
        self.is_fsdp_enabled = True

    monkeypatch.setattr(transformers.Trainer, "create_accelerator_and_postprocess", divided)
    with pytest.raises(InputError, match="does not work with FSDP or DeepSpeed"):
        train(toy_blocks, model=base, output=tmp_path / "out", **OPTIONS)
    assert not list(tmp_path.iterdir())


def test_without_peft_nothing_begins(base, toy_blocks, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingDependencyError, match="mlmfast\\[lora\\]"):
        train(toy_blocks, model=base, output=tmp_path / "out", **OPTIONS)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_without_its_head(base, toy_blocks, tmp_path):
    """Its random head would stay random."""
    model = transformers.AutoModelForMaskedLM.from_pretrained(base)
    model.roberta.save_pretrained(tmp_path / "headless")
    options = OPTIONS | {"max_steps": 2, "save_strategy": "no", "model": tmp_path / "headless"}
    with pytest.raises(InputError, match=r"lacks lm_head.dense.weight.*modules_to_save="):
        train(toy_blocks, output=tmp_path / "out", **options)
    lora = "rank=4,modules_to_save=lm_head.dense,targets=query"
    found = train(toy_blocks, output=tmp_path / "out", **options | {"lora": lora})
    assert found.adapter.modules_to_save == ("lm_head.dense",)
    with pytest.raises(InputError, match="without --keep-adapter"):
        train(
            toy_blocks,
            output=tmp_path / "kept",
            keep_adapter=True,
            **options | {"lora": lora},
        )
    assert evaluate(tmp_path / "out", toy_blocks).loss == pytest.approx(
        found.after.loss, rel=KERNELS
    )
