"""Masked rows with gradient checkpointing, weights in half precision, and adapters of PEFT."""

from __future__ import annotations

import pytest
import torch

from mlmfast.training.model.loss import masked_loss_sum
from mlmfast.training.model.masked_head import LAST_LAYER_TOO, MASKED_ROWS, MaskedHead
from mlmfast.training.model.masked_rows import at_masks, find_positions
from tiny_networks import WITHOUT_DROPOUT, batch, make_network
from tolerances import KERNELS, SUMS
from transformers_traits import REPEATS_HOOKS

CHECKPOINTED = ("bert", "roberta", "electra", "modernbert")


def gradients(model):
    return {
        name: weight.grad.clone()
        for name, weight in model.named_parameters()
        if weight.grad is not None
    }


def dense_of(model, *batches):
    """The loss and the gradients of whole logits."""
    model.zero_grad()
    loss = sum(
        masked_loss_sum(at_masks(model(**inputs).logits, labels)) for inputs, labels in batches
    )
    loss.backward()
    found = gradients(model)
    model.zero_grad()
    return loss.item(), found


def agree(model, expected):
    assert gradients(model).keys() == expected.keys()
    for name, grad in gradients(model).items():
        assert torch.allclose(grad, expected[name], atol=KERNELS), name


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("kind", CHECKPOINTED)
def test_a_checkpointed_last_layer_runs_again_on_the_same_rows(kind, reentrant):
    model = make_network(kind, **WITHOUT_DROPOUT).train()
    first, second = batch(), batch(every=5)
    loss, expected = dense_of(model, first, second)
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    head = MaskedHead(model)
    ran: list[int] = []
    layers = next(each for each in model.modules() if isinstance(each, torch.nn.ModuleList))
    *_, linear = (each for each in layers[-1].modules() if isinstance(each, torch.nn.Linear))
    linear.register_forward_pre_hook(
        lambda _module, args: ran.append(args[0].numel() // args[0].shape[-1])
    )
    # Both forward passes come before the backward pass: each has its own rows.
    losses = [masked_loss_sum(head(model, *each)) for each in (first, second)]
    ran.clear()
    sum(losses).backward()
    masked = [len(find_positions(labels)) for _, labels in (first, second)]
    if REPEATS_HOOKS:
        assert head.scope == LAST_LAYER_TOO
        assert sorted(ran) == sorted(masked)
    else:
        assert head.scope == MASKED_ROWS
        assert sorted(ran) == [60, 60]
    assert sum(losses).item() == pytest.approx(loss, rel=SUMS)
    agree(model, expected)
    # Hooks stay for the backward pass, and leave other calls alone.
    assert torch.equal(model(**first[0]).logits, make_like(model)(**first[0]).logits)
    assert dense_of(model, first, second)[0] == pytest.approx(loss, rel=SUMS)


def test_checkpointing_enabled_after_an_evaluation():
    model = make_network("bert", **WITHOUT_DROPOUT)
    given = batch()
    head = MaskedHead(model)
    with torch.no_grad():
        head(model.eval(), *given)
    assert head.scope == LAST_LAYER_TOO
    loss, expected = dense_of(model.train(), given)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    found = masked_loss_sum(head(model, *given))
    found.backward()
    assert found.item() == pytest.approx(loss, rel=SUMS)
    agree(model, expected)


def make_like(model):
    """The same model without any hook."""
    other = make_network(model.config.model_type, **WITHOUT_DROPOUT).train()
    other.load_state_dict(model.state_dict())
    return other


@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_weights_in_half_precision_run_the_last_layer_on_masked_rows(kind):
    exact = make_network(kind, initializer_range=0.1, **WITHOUT_DROPOUT)
    model = make_network(kind, initializer_range=0.1, **WITHOUT_DROPOUT).bfloat16()
    exact.load_state_dict(model.state_dict())
    given = batch()
    loss, expected = dense_of(exact, given)
    rough_loss, rough = dense_of(model, given)
    head = MaskedHead(model)
    masked = head(model, *given)
    assert head.scope == LAST_LAYER_TOO
    found = masked_loss_sum(masked)
    found.backward()
    # The roundings of bf16, 2**-9, are those of the whole logits.
    assert found.item() == pytest.approx(rough_loss, rel=2**-8)
    assert found.item() == pytest.approx(loss, rel=2**-6)
    assert gradients(model).keys() == rough.keys()
    for name, grad in gradients(model).items():
        error = (grad.float() - expected[name]).norm() / expected[name].norm().clamp(min=1e-6)
        usual = (rough[name].float() - expected[name]).norm() / expected[name].norm().clamp(
            min=1e-6
        )
        assert error <= 2 * usual + 2**-6, name


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
@pytest.mark.parametrize(
    ("kind", "attention", "head_name"),
    [("bert", ["query", "value"], "cls"), ("roberta", ["query", "value"], "lm_head"),
     ("modernbert", ["Wqkv"], "head"), ("bert", ["query", "value"], None)],
)  # fmt: skip
def test_adapters_in_the_attention_and_a_head_of_their_own(kind, attention, head_name):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(
        target_modules=attention, r=4, modules_to_save=[head_name] if head_name else None
    )
    model = peft.get_peft_model(make_network(kind, **WITHOUT_DROPOUT), config)
    torch.manual_seed(3)
    for name, weight in model.named_parameters():
        if "lora_B" in name:  # zero at first
            torch.nn.init.normal_(weight, std=0.1)
    given = batch()
    loss, expected = dense_of(model, given)
    head = MaskedHead(model)
    masked = head(model, *given)
    found = masked_loss_sum(masked)
    found.backward()
    assert head.scope == LAST_LAYER_TOO
    assert found.item() == pytest.approx(loss, rel=SUMS)
    assert any("lora" in name for name in expected)
    assert any("modules_to_save" in name for name in expected) == bool(head_name)
    agree(model, expected)


def test_adapters_in_half_precision_with_checkpointing():
    """All at once, as large models are adapted."""
    peft = pytest.importorskip("peft")
    model = make_network("bert", **WITHOUT_DROPOUT).bfloat16()
    model = peft.get_peft_model(model, peft.LoraConfig(target_modules=["query", "value"], r=4))
    model.enable_input_require_grads()
    model.train()
    given = batch()
    loss, expected = dense_of(model, given)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    head = MaskedHead(model)
    found = masked_loss_sum(head(model, *given))
    found.backward()
    assert head.scope == (LAST_LAYER_TOO if REPEATS_HOOKS else MASKED_ROWS)
    assert found.item() == pytest.approx(loss, rel=2**-8)
    for name, grad in gradients(model).items():
        scale = expected[name].float().norm().clamp(min=1e-3)
        assert (grad.float() - expected[name].float()).norm() <= 2**-4 * scale, name
