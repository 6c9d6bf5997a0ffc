"""The masked rows of a compiled model: the same numbers, in few shapes."""

from __future__ import annotations

import torch
from torch._dynamo.utils import counters

from architectures import tiny_model
from mlmfast.training.model.loss import masked_loss_sum
from mlmfast.training.model.masked_head import LAST_LAYER_TOO, MaskedHead
from mlmfast.training.model.masked_rows import at_masks
from tolerances import GRAPHS, KERNELS, LAYERS


def batch(masks: int):
    """Eight texts of 20 tokens with so many masks; the first one is padded."""
    torch.manual_seed(masks)
    ids = torch.randint(5, 50, (8, 20))
    attention = torch.ones_like(ids)
    attention[0, -3:] = 0
    labels = torch.full((160,), -100)
    places = torch.randperm(150)[:masks]
    labels[places] = ids.flatten()[places]
    return {"input_ids": ids, "attention_mask": attention}, labels.reshape(8, 20)


def test_a_compiled_model_gives_the_gradients_of_all_rows_and_is_compiled_twice():
    torch._dynamo.reset()
    counters.clear()
    model = tiny_model("roberta")
    compiled = torch.compile(model, backend="aot_eager")
    head = MaskedHead(model, static=True)
    for masks in (23, 24, 25, 0, 40):
        inputs, labels = batch(masks)
        found = head(compiled, inputs, labels)
        assert (found.targets != -100).sum() == masks
        assert len(found.logits) % 8 == 0
        loss = masked_loss_sum(found)
        loss.backward()
        grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        model.zero_grad(set_to_none=True)
        expected = masked_loss_sum(at_masks(model(**inputs).logits, labels))
        expected.backward()
        assert torch.allclose(loss, expected, rtol=KERNELS)
        for name, grad in grads.items():
            assert torch.allclose(grad, model.get_parameter(name).grad, atol=GRAPHS, rtol=LAYERS), (
                name
            )
        model.zero_grad(set_to_none=True)
    assert head.scope == LAST_LAYER_TOO
    assert counters["stats"]["unique_graphs"] == 2
    assert not counters["graph_break"]
