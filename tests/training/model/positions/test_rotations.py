"""Rotary position embeddings whose base changes while a model trains."""

from __future__ import annotations

import pytest
import torch
import transformers

from mlmfast.errors import InputError
from mlmfast.training.model.positions.rotations import Rotations
from tiny_models import save_checkpoint


def opened(folder):
    return transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()


@torch.no_grad()
def test_the_logits_and_the_configuration_are_those_of_a_model_with_the_base(tmp_path):
    model = opened(save_checkpoint("modernbert", tmp_path / "model"))
    ids = torch.arange(40)[None] + 5
    own = model(ids).logits
    rotations = Rotations(model, [None, 500.0, 200.0])
    assert torch.equal(model(ids).logits, own)
    for base in (500.0, 200.0, None, 500.0):
        rotations.use(base)
        model.save_pretrained(tmp_path / "saved")
        assert torch.equal(opened(tmp_path / "saved")(ids).logits, model(ids).logits)
        assert torch.allclose(model(ids).logits, own, atol=1e-4) == (base is None)


def test_a_model_without_a_base_is_refused(tmp_path):
    model = opened(save_checkpoint("bert", tmp_path))
    with pytest.raises(InputError, match="a bert model has none that transformers can change"):
        Rotations(model, [500.0])


def test_a_model_that_ignores_the_base_is_refused(tmp_path, monkeypatch):
    model = opened(save_checkpoint("modernbert", tmp_path))
    monkeypatch.setattr("mlmfast.training.model.positions.rotations._changed", lambda *_: ())
    with pytest.raises(InputError, match=r"cannot be changed while it trains \(rope_theta 500\)"):
        Rotations(model, [500.0])
