"""The head on masked rows: the same logits and gradients as on all rows, or all rows."""

from __future__ import annotations

import pytest
import torch

from mlmfast.training.model.loss import masked_loss_sum
from mlmfast.training.model.masked_head import MaskedHead
from mlmfast.training.model.masked_rows import at_masks
from tiny_networks import batch, make_network
from tolerances import KERNELS, SUMS

KINDS = ("bert", "roberta", "distilbert", "modernbert", "albert", "electra", "xlm-roberta", "mpnet")


def counting(model, seen):
    """Record how many rows the model's output layer is given."""
    model.get_output_embeddings().register_forward_hook(
        lambda _module, args, _output: seen.append(args[0].numel() // args[0].shape[-1])
    )
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_gradients_are_those_of_the_whole_head(kind):
    model = make_network(kind).eval()
    inputs, labels = batch()
    dense = at_masks(model(**inputs).logits, labels)
    masked_loss_sum(dense).backward()
    expected = {
        name: weight.grad.clone()
        for name, weight in model.named_parameters()
        if weight.grad is not None
    }
    model.zero_grad()
    seen: list[int] = []
    head = MaskedHead(counting(model, seen))
    sparse = head(model, inputs, labels)
    assert seen[-1] == len(sparse.targets) == (labels != -100).sum()
    assert torch.allclose(sparse.logits, dense.logits, atol=SUMS)
    assert torch.equal(sparse.targets, dense.targets)
    assert torch.equal(sparse.rows, dense.rows)
    masked_loss_sum(sparse).backward()
    for name, grad in expected.items():
        assert torch.allclose(model.get_parameter(name).grad, grad, atol=KERNELS), name


def test_a_batch_without_masks_has_no_rows():
    model = make_network("roberta").eval()
    inputs, labels = batch()
    head = MaskedHead(model)
    head(model, inputs, labels)
    loss = masked_loss_sum(head(model, inputs, torch.full_like(labels, -100)))
    assert loss.item() == 0.0
    loss.backward()


def test_a_model_whose_head_looks_at_its_neighbours_keeps_all_rows():
    class Neighbours(torch.nn.Module):
        def __init__(self, head):
            super().__init__()
            self.head = head

        def forward(self, hidden):
            return self.head(hidden + hidden.roll(1, dims=1))

    model = make_network("bert").eval()
    model.cls = Neighbours(model.cls)
    inputs, labels = batch()
    sparse = MaskedHead(model)(model, inputs, labels)
    assert torch.allclose(sparse.logits, at_masks(model(**inputs).logits, labels).logits)


def test_a_model_that_fails_on_rows_keeps_all_rows():
    model = make_network("bert").eval()
    whole = model.cls

    class Whole(torch.nn.Module):
        def forward(self, hidden):
            assert hidden.shape[1] == 20
            return whole(hidden)

    model.cls = Whole()
    inputs, labels = batch()
    assert len(MaskedHead(model)(model, inputs, labels).logits) == (labels != -100).sum()


def test_training_modes_are_left_as_they_were():
    model = make_network("roberta").train()
    model.roberta.embeddings.eval()
    inputs, labels = batch()
    MaskedHead(model)(model, inputs, labels)
    assert model.training
    assert not model.roberta.embeddings.training
    assert model.roberta.encoder.training
