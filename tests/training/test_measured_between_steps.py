"""A model of every type, measured before and between the steps of a training.

ESM keeps its rotary tables from one call to the next: those that an evaluation has made must do for
a backward pass.
"""

from __future__ import annotations

import pytest
import torch

from architectures import masked_types, tiny_model
from mlmfast.training.evaluation.evaluator import evaluating
from mlmfast.training.model.loss import masked_loss_sum
from mlmfast.training.model.masked_head import MaskedHead


def batch(length):
    torch.manual_seed(length)
    ids = torch.randint(5, 40, (2, length))
    labels = torch.full_like(ids, -100)
    labels[:, 1::5] = ids[:, 1::5]
    return {"input_ids": ids}, labels


@pytest.mark.parametrize("kind", masked_types())
def test_every_type_trains_after_it_was_measured(kind):
    try:
        model = tiny_model(kind)
    except ImportError as error:  # QDQBert's library
        pytest.skip(str(error))
    if model.main_input_name == "input_values":
        pytest.skip("reads no text")
    head = MaskedHead(model)
    for length in (32, 64):
        with evaluating(model, "cpu", "fp32") as measured:
            assert measured.row_counts(*batch(length)).isfinite().all()
        model.train()
        masked_loss_sum(head(model, *batch(length))).backward()
        assert any(each.grad is not None for each in model.parameters())
