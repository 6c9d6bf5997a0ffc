"""Adapters in a model: where they are, and masked rows with them."""

from __future__ import annotations

import pytest
import torch

from mlmfast.errors import InputError
from mlmfast.peft_models import merged
from mlmfast.training.model.adapters import add_adapters, check_trained
from mlmfast.training.model.documents.document_attention import DocumentAttention
from mlmfast.training.model.loss import masked_loss_sum
from mlmfast.training.model.masked_head import LAST_LAYER_TOO, MaskedHead
from mlmfast.training.model.masked_rows import at_masks
from mlmfast.training.options.lora import lora_config
from tiny_networks import WITHOUT_DROPOUT, batch, make_network
from tolerances import KERNELS, SUMS

peft = pytest.importorskip("peft")

KINDS = ("bert", "roberta", "distilbert", "modernbert")


def adapted(kind="roberta", lora="rank=4", **more):
    """A model with adapters that change its logits."""
    still = {} if kind == "distilbert" else WITHOUT_DROPOUT
    if kind == "distilbert":
        still = {"dropout": 0.0, "attention_dropout": 0.0}
    model, adapter = add_adapters(make_network(kind, **still), lora_config(lora), **more)
    torch.manual_seed(3)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data.add_(torch.randn(weight.shape) * 0.1)
    return model, adapter


def gradients(model):
    found = {n: w.grad.clone() for n, w in model.named_parameters() if w.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize("lora", ["targets=all-linear", "dora=true,targets=all-linear"])
@pytest.mark.parametrize("kind", KINDS)
def test_masked_rows_give_the_loss_and_gradients_of_all_rows(kind, lora):
    model, adapter = adapted(kind, f"rank=4,{lora}")
    assert adapter.method == ("DoRA" if "dora" in lora else "LoRA")
    inputs, labels = batch()
    dense = masked_loss_sum(at_masks(model(**inputs).logits, labels))
    dense.backward()
    expected = gradients(model)
    head = MaskedHead(model)
    found = masked_loss_sum(head(model, inputs, labels))
    found.backward()
    assert head.scope == LAST_LAYER_TOO
    assert found.item() == pytest.approx(dense.item(), rel=SUMS)
    grads = gradients(model)
    assert grads.keys() == expected.keys()
    assert all("lora" in name for name in expected)
    for name, grad in expected.items():
        assert torch.allclose(grads[name], grad, atol=KERNELS), name


@pytest.mark.parametrize(
    ("kind", "targets"),
    [
        ("bert", ("query", "value")),
        ("roberta", ("query", "value")),
        ("deberta-v2", ("query_proj", "value_proj")),
        # Not known to PEFT: all linear layers except the output layer.
        ("distilbert", ("k_lin", "lin1", "lin2", "out_lin", "q_lin", "v_lin", "vocab_transform")),
        ("modernbert", ("Wi", "Wo", "Wqkv", "dense")),
    ],
)
def test_the_model_type_decides_where_adapters_are(kind, targets):
    before = make_network(kind)
    size = sum(weight.numel() for weight in before.parameters())
    model, adapter = add_adapters(before, lora_config("rank=4"))
    assert adapter.targets == targets
    assert adapter.parameters == size
    trained = {name: w.numel() for name, w in model.named_parameters() if w.requires_grad}
    assert all("lora" in name for name in trained)
    assert adapter.trained_parameters == sum(trained.values())
    assert f"rank 4 (alpha 32) on {', '.join(targets)}" in str(adapter)


@pytest.mark.parametrize("kind", ["roberta", "bert"])
def test_a_module_that_is_trained_as_a_whole_has_no_adapter_besides(kind):
    head = {"roberta": "lm_head.dense", "bert": "transform"}[kind]
    model, adapter = adapted(kind, f"rank=4,targets=all-linear,modules_to_save={head}")
    assert adapter.modules_to_save == (head,)
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert any(f"{head}.modules_to_save" in name for name in trained)
    assert not any(head in name and "lora" in name for name in trained)
    inputs, labels = batch()
    dense = masked_loss_sum(at_masks(model(**inputs).logits, labels))
    masked = MaskedHead(model)
    assert masked_loss_sum(masked(model, inputs, labels)).item() == pytest.approx(
        dense.item(), rel=SUMS
    )
    assert masked.scope == LAST_LAYER_TOO


def test_the_adapter_names_the_folder_of_its_model(tmp_path, monkeypatch):
    make_network("bert").save_pretrained(tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    import transformers

    base = transformers.AutoModelForMaskedLM.from_pretrained("base")
    model, _ = add_adapters(base, lora_config(True))
    assert model.peft_config["default"].base_model_name_or_path == str(tmp_path / "base")


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        ("targets=q_proj+query", r"names 'q_proj', but .*\(roberta\).* dense, key, query, value;"),
        ("targets=uery", "names 'uery'"),
        ("modules_to_save=head", "modules_to_save of lora names 'head'"),
        ("targets=attention", r"names 'attention', but .* has no linear layer of that name"),
        ("targets=query+LayerNorm", "names 'LayerNorm'"),
        ("targets=query+decoder", r"lm_head\.decoder, which shares its weights"),
        ("targets=word_embeddings", r"word_embeddings, which shares its weights"),
        ("layers_to_transform=7,targets=query", "peft cannot add these adapters"),
    ],
)  # fmt: skip
def test_names_that_cannot_be_adapted(lora, message):
    with pytest.raises(InputError, match=message):
        add_adapters(make_network("roberta"), lora_config(lora))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "lora",
    ["targets=all-linear", "dora=true,targets=all-linear", "rslora=true", "bias=lora_only", "head"],
)
def test_a_merged_model_computes_the_same(kind, lora, tmp_path):
    import transformers

    embeddings = "tok_embeddings" if kind == "modernbert" else "word_embeddings"
    lora = f"modules_to_save={embeddings}" if lora == "head" else lora
    model, _ = adapted(kind, f"rank=4,{lora}")
    inputs, _ = batch()
    with torch.no_grad():
        expected = model.eval()(**inputs).logits
        plain = merged(model)
        assert torch.allclose(plain(**inputs).logits, expected, atol=KERNELS)
        plain.save_pretrained(tmp_path)
        opened = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
        assert torch.allclose(opened(**inputs).logits, expected, atol=KERNELS)
    assert not any("lora" in name or "base_layer" in name for name, _ in opened.named_modules())


@pytest.mark.parametrize("kind", ["roberta", "modernbert"])
def test_new_tokens_are_trained_and_the_old_ones_are_not(kind):
    model, adapter = adapted(kind, new_tokens=[58, 59])
    assert adapter.trained_parameters > adapted(kind)[1].trained_parameters
    inputs, labels = batch()
    head = MaskedHead(model)
    dense = masked_loss_sum(at_masks(model(**inputs).logits, labels))
    dense.backward()
    expected = gradients(model)
    assert any("trainable_tokens" in name for name in expected)
    found = masked_loss_sum(head(model, inputs, labels))
    found.backward()
    assert found.item() == pytest.approx(dense.item(), rel=SUMS)
    for name, grad in gradients(model).items():
        assert torch.allclose(grad, expected[name], atol=KERNELS), name
    before = make_network(kind).get_input_embeddings().weight
    with torch.no_grad():
        logits = model.eval()(**inputs).logits
        plain = merged(model)
        assert torch.allclose(plain(**inputs).logits, logits, atol=KERNELS)
    after = plain.get_input_embeddings().weight
    changed = (before != after).any(-1).nonzero().flatten().tolist()
    assert changed == [58, 59]
    assert plain.get_output_embeddings().weight is after or torch.equal(
        plain.get_output_embeddings().weight, after
    )


@pytest.mark.parametrize("kind", KINDS)
def test_documents_are_kept_apart_with_adapters(kind):
    """PEFT's wrapper has no argument of the model's by name."""
    model, _ = adapted(kind)
    ids = batch(rows=2, length=24)[0]["input_ids"]
    documents = torch.arange(24).expand(2, 24) // 8
    attention = DocumentAttention(model, required=True)
    assert attention.separates(ids)
    model.eval()
    with torch.no_grad(), attention.applied({"input_ids": ids}, documents) as inputs:
        packed = model(**inputs).logits
    assert attention.reason is None
    with torch.no_grad():
        alone = model(input_ids=ids[:, 8:16]).logits
    assert torch.allclose(packed[:, 8:16], alone, atol=KERNELS)


def test_random_matrices_have_to_be_trained():
    model = make_network("bert")
    module = "cls.predictions.transform.dense"
    missing = [f"{module}.weight", "cls.predictions.bias"]
    with pytest.raises(InputError, match=f"base lacks {module}.weight.*modules_to_save={module}"):
        check_trained("base", model, missing, ())
    check_trained("base", model, missing, ["transform"])
    check_trained("base", model, ["cls.predictions.bias"], ())
    with pytest.raises(InputError, match="would stay random"):
        check_trained("base", model, missing, ["predictions.trans"])
