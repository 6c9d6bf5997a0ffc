"""The option `lora`: a text, a mapping or a `peft.LoraConfig`."""

from __future__ import annotations

import sys

import pytest

from mlmfast.errors import InputError, MissingDependencyError
from mlmfast.training.options.lora import describe_lora, lora_config, with_lora_defaults

peft = pytest.importorskip("peft")


@pytest.mark.parametrize("given", [None, False])
def test_without_it_all_weights_are_trained(given):
    assert lora_config(given) is None


@pytest.mark.parametrize("given", [True, "", {}])
def test_the_defaults(given):
    config = lora_config(given)
    assert (config.r, config.lora_alpha, config.lora_dropout) == (16, 32, 0.0)
    assert (config.use_dora, config.use_rslora) == (False, False)
    assert config.target_modules is None
    assert config.modules_to_save is None


def test_a_text_says_what_a_mapping_says():
    text = "rank=8, alpha=12.5,dropout=0.1,targets=query+value,dora=true,modules_to_save=lm_head"
    mapping = {
        "rank": 8,
        "alpha": 12.5,
        "dropout": 0.1,
        "targets": ["query", "value"],
        "dora": True,
        "modules_to_save": ["lm_head"],
    }
    one, other = lora_config(text), lora_config(mapping)
    assert one == other
    assert one.target_modules == {"query", "value"}
    assert (one.r, one.lora_alpha, one.lora_dropout, one.use_dora) == (8, 12.5, 0.1, True)
    assert one.modules_to_save == ["lm_head"]


def test_the_names_of_peft_and_its_other_fields():
    config = lora_config(
        "r=4,lora_alpha=4,target_modules=query,layers_to_transform=0+1,bias=lora_only,"
        "init_lora_weights=gaussian"
    )
    assert (config.r, config.lora_alpha, config.target_modules) == (4, 4, {"query"})
    assert config.layers_to_transform == [0, 1]
    assert (config.bias, config.init_lora_weights) == ("lora_only", "gaussian")
    assert lora_config("targets=all-linear").target_modules == "all-linear"


def test_rslora_has_the_same_scale_at_the_default_rank():
    config = lora_config("rslora=true")
    assert config.lora_alpha / config.r**0.5 == 32 / 16
    assert lora_config("rslora=true,alpha=16").lora_alpha == 16


def test_a_config_of_peft_is_copied():
    given = peft.LoraConfig(r=3, inference_mode=True)
    config = lora_config(given)
    config.target_modules = ["query"]
    assert (config.r, config.inference_mode) == (3, False)
    assert (given.target_modules, given.inference_mode) == (None, True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("rnk=8", r"no option 'rnk'; did you mean rank.*There are rank, alpha"),
        ({"ranks": 8}, "no option 'ranks'; did you mean rank"),
        ("rank=0", "rank of lora must be a whole number from 1 up; got 0"),
        ("rank=-4", "got -4"),
        ("rank=2.5", "got 2.5"),
        ("rank=many", "got 'many'"),
        ("rank=true", "got True"),
        ("alpha=0", "alpha of lora must be a number above 0; got 0"),
        ("dropout=1", "at least 0 and below 1; got 1"),
        ("dropout=-0.1", "got -0.1"),
        ("dora=maybe", "dora of lora is 'maybe'; expected true or false"),
        ("targets=", "targets of lora names no module"),
        ("modules_to_save=+", "modules_to_save of lora names no module"),
        ("rank=8,r=4", "lora has rank twice"),
        ("blocks/", r"'blocks/' is not NAME=VALUE.*as the last option"),
        (16, "lora is 16; expected rank=16"),
        ("layers_pattern=layer", "peft refuses these options of lora"),
    ],
)
def test_what_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        lora_config(given)


def test_other_adapters_of_peft_are_refused():
    with pytest.raises(InputError, match=r"expected .* a peft\.LoraConfig"):
        lora_config(peft.IA3Config())


def test_without_peft_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    assert lora_config(None) is None
    with pytest.raises(MissingDependencyError, match=r'pip install "mlmfast\[lora\]"'):
        lora_config("rank=8")


def test_the_description_tells_two_configurations_apart():
    assert describe_lora(None) is None
    assert describe_lora(lora_config(True)) == "rank=16,alpha=32"
    text = "rank=8,alpha=16,dropout=0.1,targets=value+query,dora=true"
    assert describe_lora(lora_config(text)) == describe_lora(
        lora_config("dora=yes,rank=8,alpha=16,targets=query+value,dropout=0.1")
    )
    assert describe_lora(lora_config(text)) != describe_lora(lora_config(text + ",rslora=true"))
    assert "targets=query+value" in describe_lora(lora_config(text))


def test_adapters_have_a_learning_rate_of_their_own_unless_one_is_given():
    assert with_lora_defaults({"max_steps": 3}) == {"max_steps": 3, "learning_rate": 2e-4}
    assert with_lora_defaults({"learning_rate": 1e-5}) == {"learning_rate": 1e-5}
