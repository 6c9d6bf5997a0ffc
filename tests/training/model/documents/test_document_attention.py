"""Attention inside documents: packed rows give the loss and gradients of each document alone."""

from __future__ import annotations

import logging
from contextlib import nullcontext

import pytest
import torch
from torch._dynamo.utils import counters

from architectures import tiny_model
from mlmfast.errors import InputError
from mlmfast.training.model.documents.attention import DocumentMask, attend_inside
from mlmfast.training.model.documents.document_attention import DocumentAttention
from mlmfast.training.model.documents.layout import Documents
from mlmfast.training.model.loss import masked_loss_sum
from mlmfast.training.model.masked_head import ALL_ROWS, LAST_LAYER_TOO, MaskedHead
from mlmfast.training.model.masked_rows import at_masks
from tolerances import GRAPHS, KERNELS, LAYERS

# Of each row, the lengths of its documents; the rest is padding.
LENGTHS = ((20, 7, 13), (31,), (3, 16, 12))
LENGTH = 40
# Attention computed by torch or by the model; positions by argument, by table or none at all;
# sliding windows; relative positions; masks of 0 and 1; embeddings scaled by the share of masks.
KINDS = (
    ("bert", "sdpa", {}),
    ("roberta", "sdpa", {}),
    ("roberta", "eager", {}),
    ("distilbert", "sdpa", {}),
    ("modernbert", "sdpa", {}),
    ("albert", "sdpa", {}),
    ("deberta-v2", "eager", {}),
    ("mpnet", "eager", {}),
    ("esm", "sdpa", {"emb_layer_norm_before": False}),
    ("xlm", "eager", {}),
)


def batch(rows=LENGTHS):
    """Rows of several documents, with masks, and their numbers."""
    torch.manual_seed(1)
    ids = torch.ones((len(rows), LENGTH), dtype=torch.int64)
    documents = torch.full((len(rows), LENGTH), -1, dtype=torch.int32)
    for row, lengths in enumerate(rows):
        start = 0
        for number, length in enumerate(lengths):
            at = slice(start, start + length)
            ids[row, at] = torch.randint(5, 50, (length,))
            documents[row, at] = number
            start += length
    labels = torch.where((torch.rand(ids.shape) < 0.2) & (documents >= 0), ids, -100)
    ids = torch.where(labels != -100, 4, ids)
    inputs = {"input_ids": ids, "attention_mask": (documents >= 0).long()}
    return inputs | {"document_ids": documents}, labels


def each_document(inputs, labels):
    """Yield ids and labels of each document alone, `[1, l]`."""
    for row, own in enumerate(inputs["document_ids"]):
        for number in range(int(own.max()) + 1):
            at = own == number
            yield inputs["input_ids"][row : row + 1, at], labels[row : row + 1, at]


def gradients(model):
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def alone(model, inputs, labels, context=nullcontext):
    """The summed loss and the gradients of all documents, each in a call of its own."""
    total = 0.0
    for ids, own in each_document(inputs, labels):
        with context():
            loss = masked_loss_sum(at_masks(model(input_ids=ids).logits, own))
        loss.backward()
        total += loss.item()
    return total, gradients(model)


def packed(head, model, inputs, labels, context=nullcontext):
    with context():
        loss = masked_loss_sum(head(model, inputs, labels))
    loss.backward()
    return loss.item(), gradients(head.model)


def assert_same(found, expected, rtol=LAYERS, atol=GRAPHS):
    loss, grads = found
    assert loss == pytest.approx(expected[0], rel=rtol)
    assert grads.keys() == expected[1].keys()
    for name, grad in grads.items():
        assert torch.allclose(grad, expected[1][name], rtol=rtol, atol=atol), name


@pytest.mark.parametrize(("kind", "attention", "options"), KINDS)
def test_packed_rows_have_the_loss_and_gradients_of_each_document_alone(kind, attention, options):
    model = tiny_model(kind, attention=attention, **options)
    inputs, labels = batch()
    head = MaskedHead(model, documents=DocumentAttention(model, required=True))
    found = packed(head, model, inputs, labels)
    assert head.scope != ALL_ROWS
    assert_same(found, alone(model, inputs, labels))


def test_joined_documents_see_each_other():
    model = tiny_model("roberta", attention="sdpa")
    inputs, labels = batch()
    separate = MaskedHead(model, documents=DocumentAttention(model))(model, inputs, labels)
    joined = MaskedHead(model)(model, inputs, labels)
    assert not torch.allclose(separate.logits, joined.logits, atol=0.1)
    del inputs["document_ids"]
    assert torch.equal(MaskedHead(model)(model, inputs, labels).logits, joined.logits)


def test_a_model_that_mixes_neighbours_is_refused_or_left_joined(caplog):
    model = tiny_model("convbert")
    inputs, labels = batch()
    with pytest.raises(InputError, match=r"convbert cannot keep documents apart: .* joined"):
        MaskedHead(model, documents=DocumentAttention(model, required=True))(model, inputs, labels)
    with caplog.at_level(logging.WARNING):
        found = MaskedHead(model, documents=DocumentAttention(model))(model, inputs, labels)
    assert "attention crosses documents: convbert cannot" in caplog.text
    assert torch.equal(found.logits, MaskedHead(model)(model, inputs, labels).logits)


def test_a_trial_leaves_a_sparse_model_sparse():
    model = tiny_model("big_bird")
    inputs, _ = batch()
    separate = DocumentAttention(model)
    assert not separate.separates(inputs["input_ids"])
    assert "block_sparse" in separate.reason
    assert model.bert.attention_type == "block_sparse"


def test_the_model_is_left_without_hooks_and_documents():
    model = tiny_model("roberta", attention="sdpa")
    inputs, labels = batch()
    plain = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    before = model(**plain).logits
    packed(MaskedHead(model, documents=DocumentAttention(model)), model, inputs, labels)
    assert torch.equal(model(**plain).logits, before)
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("kind", ["roberta", "modernbert", "distilbert"])
def test_layers_that_run_again_in_the_backward_pass_keep_documents_apart(kind):
    model = tiny_model(kind, attention="sdpa")
    inputs, labels = batch()
    expected = alone(model, inputs, labels)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    for module in model.modules():
        module.p = 0.0 if hasattr(module, "p") else None
        if hasattr(module, "dropout_prob"):
            module.dropout_prob = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0
    head = MaskedHead(model, documents=DocumentAttention(model, required=True), last_layer=False)
    assert_same(packed(head, model, inputs, labels), expected)


def test_bf16_gives_the_loss_of_each_document_alone():
    model = tiny_model("roberta", attention="sdpa")
    inputs, labels = batch()

    def bf16():
        return torch.autocast("cpu", torch.bfloat16)

    head = MaskedHead(model, documents=DocumentAttention(model, required=True))
    loss, _ = packed(head, model, inputs, labels, bf16)
    assert loss == pytest.approx(alone(model, inputs, labels, bf16)[0], rel=2e-2)


def test_weights_in_bf16_are_tried_by_what_other_documents_change():
    model = tiny_model("roberta", attention="sdpa").bfloat16()
    inputs, labels = batch()
    head = MaskedHead(model, documents=DocumentAttention(model, required=True))
    loss, _ = packed(head, model, inputs, labels)
    assert loss == pytest.approx(alone(model, inputs, labels)[0], rel=3e-2)


def test_a_compiled_model_keeps_documents_apart_in_one_graph():
    torch._dynamo.reset()
    counters.clear()
    model = tiny_model("roberta", attention="sdpa")
    compiled = torch.compile(model, backend="aot_eager")
    documents = DocumentAttention(model, required=True, static=True)
    head = MaskedHead(model, static=True, documents=documents)
    for rows in (LENGTHS, ((40,), (1, 2, 3, 4), (20, 20)), ((5, 5, 5), (9,), (33, 7))):
        inputs, labels = batch(rows)
        found = packed(head, compiled, inputs, labels)
        assert_same(found, alone(model, inputs, labels))
    assert head.scope == LAST_LAYER_TOO
    assert counters["stats"]["unique_graphs"] <= 2
    assert not counters["graph_break"]


@pytest.mark.parametrize("kind", ["roberta", "bert", "distilbert"])
def test_a_row_may_be_longer_than_the_positions_of_the_model(kind):
    model = tiny_model(kind, attention="sdpa", max_position_embeddings=22)
    inputs, labels = batch(((20, 7, 13), (20,), (3, 16, 12)))
    head = MaskedHead(model, documents=DocumentAttention(model, required=True))
    assert_same(packed(head, model, inputs, labels), alone(model, inputs, labels), atol=KERNELS)


def test_elsewhere_than_on_a_cpu_the_mask_is_used_as_it_is():
    ids = torch.tensor([[0, 0, 1, -1]], device="meta")
    documents = Documents(ids)
    mask = DocumentMask.of(documents.same, documents, plain=True)
    query = torch.empty(1, 2, 4, 8, device="meta")
    assert attend_inside(query, query, query, mask) is None
    attended = torch.nn.functional.scaled_dot_product_attention(query, query, query, mask)
    assert attended.shape == query.shape
