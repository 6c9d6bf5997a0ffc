"""The last layer on the masked rows: what runs on them, and when it stays whole."""

from __future__ import annotations

import pytest
import torch
from accelerate.utils import convert_outputs_to_fp32

from architectures import tiny_model
from mlmfast.training.model.loss import masked_loss_sum
from mlmfast.training.model.masked_head import LAST_LAYER_TOO, MASKED_ROWS, MaskedHead
from mlmfast.training.model.masked_rows import at_masks
from tolerances import LAYERS


def batch(length=16, rows=3):
    torch.manual_seed(length)
    ids = torch.randint(5, 50, (rows, length))
    attention = torch.ones_like(ids)
    attention[0, -2:] = 0
    labels = torch.where(torch.rand(rows, length) < 0.2, ids, -100)
    return {"input_ids": ids, "attention_mask": attention}, labels


def test_the_feed_forward_of_the_last_layer_sees_the_masked_rows_alone():
    model = tiny_model("roberta")
    inputs, labels = batch()
    head = MaskedHead(model)
    head(model, inputs, labels)
    seen = []
    for layer in model.roberta.encoder.layer:
        layer.intermediate.register_forward_hook(
            lambda _module, args, _output: seen.append(tuple(args[0].shape))
        )
    head(model, inputs, labels)
    assert seen == [(3, 16, 32), (1, int((labels != -100).sum()), 32)]
    seen.clear()
    model(**inputs)  # nothing is left behind in the model
    assert seen == [(3, 16, 32)] * 2


def test_a_layer_that_is_all_layers_stays_whole():
    model = tiny_model("albert")
    head = MaskedHead(model)
    head(model, *batch())
    assert head.scope == MASKED_ROWS


def test_texts_that_the_model_pads_inside_keep_the_last_layer_whole_and_the_answers_right():
    """Longformer pads to whole windows of eight: a place in the batch is another one in there."""
    model = tiny_model("longformer")
    head = MaskedHead(model)
    for length in (16, 13, 24, 11):
        inputs, labels = batch(length)
        found = head(model, inputs, labels).logits
        dense = at_masks(model(**inputs).logits, labels).logits
        assert torch.allclose(found, dense, atol=LAYERS)
    assert head.scope == LAST_LAYER_TOO


def test_dropout_of_rows_is_the_only_difference_in_training():
    model = tiny_model("bert").train()
    inputs, labels = batch()
    head = MaskedHead(model)
    first = masked_loss_sum(head(model, inputs, labels))
    assert first != masked_loss_sum(head(model, inputs, labels))  # dropout is on
    assert model.bert.encoder.layer[-1].training


def test_random_numbers_are_left_as_they_were():
    model = tiny_model("reformer")
    inputs, labels = batch(64)
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    MaskedHead(model)._prepare(inputs, labels)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("compiled", [False, True])
def test_the_trial_is_in_fp32_whatever_the_model_computes_in(dtype, compiled):
    """As accelerate wraps a model, in an autocast within `forward`."""
    model = tiny_model("roberta")
    if dtype != torch.float32:
        model.forward = convert_outputs_to_fp32(torch.autocast("cpu", dtype)(model.forward))
    seen = []
    model.get_output_embeddings().register_forward_hook(
        lambda _module, _args, output: seen.append(output.dtype)
    )
    head = MaskedHead(model, static=compiled)
    inputs, labels = batch()
    head(torch.compile(model, backend="eager") if compiled else model, inputs, labels)
    assert head.scope == LAST_LAYER_TOO
    assert set(seen[:-1]) == {torch.float32}
    assert seen[-1] == dtype


def test_what_stays_on_a_compiled_model_can_be_taken_off():
    model = tiny_model("roberta")
    head = MaskedHead(model, static=True)
    found = head(model, *batch()).logits
    assert model.base_model._forward_hooks
    head.remove_hooks()
    assert not model.base_model._forward_hooks
    assert torch.equal(head(model, *batch()).logits, found)
