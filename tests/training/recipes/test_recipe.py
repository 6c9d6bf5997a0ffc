"""Recipes as files: what is read, and what a mistake is answered with."""

from __future__ import annotations

import json

import pytest

from mlmfast.errors import InputError, NotFoundError
from mlmfast.training.recipes.recipe import Recipe, read_recipe, shipped_recipes

PHASE = {"steps": 5, "batch_size": 4, "learning_rate": 1e-3}


def test_options_and_phases_of_a_file(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text(
        """
        model-type: roberta
        adam_epsilon: 1e-6
        config_overrides: {layer_norm_eps: 1e-5}
        batch-size: 64
        scale: 0.5
        phases:
          - tokens: 1.5B
            learning_rate_schedule: 8e-4:0:1-sqrt
            mask_rate_schedule: 0.3:0.15
          - name: last
            steps: 7
            batch_size: 32
            data: {a/: 0.7, b/: auto}
            learning-rate: 1e-4
        """
    )
    found = read_recipe(file)
    assert found.options == {
        "model_type": "roberta",
        "adam_epsilon": 1e-6,
        "config_overrides": {"layer_norm_eps": 1e-5},
    }
    first, last = found.phases
    assert (first.name, first.tokens, first.batch_size) == ("phase 1", 0.75e9, 64)
    assert str(first.learning_rate_schedule) == "0.0008 to 0 (1-sqrt)"
    assert first.mask_rate_schedule == "0.3:0.15"
    assert (last.name, last.steps, last.batch_size) == ("last", 3.5, 32)
    assert last.data == {"a/": 0.7, "b/": "auto"}
    assert last.where == f"{file}, phase 2 (last)"
    same = tmp_path / "my.json"
    same.write_text(json.dumps({"phases": [PHASE]}))
    assert read_recipe(str(same)).phases[0].steps == 5
    assert read_recipe(found) is found
    assert not found.without_options().options


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        ({"tokenz": 5}, r"r.yaml, phase 1: there is no key 'tokenz'; did you mean tokens\?"),
        ({"tokens": 5}, "phase 1 has steps and tokens: give one of steps, tokens, epochs"),
        ({"steps": None}, "does not say how long it is: give one of steps, tokens, epochs"),
        ({"batch_size": None}, "has no batch_size: give the blocks of an optimizer step"),
        ({"batch_size": 0}, "batch_size is 0; expected a number of blocks"),
        ({"steps": "many"}, "steps is 'many'; expected a number of steps, such as 10_000"),
        ({"name": "x", "data": 5}, r"phase 1 \(x\): data is 5; expected a block store, or stores"),
        ({"mlm_probability": 2}, "mlm_probability is 2; expected a mask rate between 0 and 1"),
        ({"mlm_probability": "u:1,2"}, "phase 1: mlm_probability: mlm_probability must be"),
        ({"mask_rate_schedule": 75}, "mask_rate_schedule: a mask rate schedule is written"),
        (
            {"mlm_probability": 0.1, "mask_rate_schedule": "0.3:0.1"},
            "has mlm_probability and mask_rate_schedule: give one of them",
        ),
        ({"learning_rate_schedule": "1:0"}, "has learning_rate and learning_rate_schedule"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'; expected a positive number"),
        (
            {"learning_rate": None, "learning_rate_schedule": "1:0:step"},
            r"is '1:0:step'; expected START:END or START:END:SHAPE \(SHAPE linear, cosine, 1-sqrt",
        ),
        ({"warmup_steps": 1, "warmup_tokens": 5}, "has warmup_steps and warmup_tokens"),
        ({"batch_size_warmup_tokens": 5}, "has batch_size_warmup_tokens alone: give"),
        (
            {"batch_size_warmup_tokens": 5, "batch_size_warmup_min_size": 9},
            r"batches of 9 blocks \(batch_size_warmup_min_size\) cannot grow to 4",
        ),
        ({"data_temperature": 2}, "data_temperature goes with data"),
    ],
)
def test_a_mistake_in_a_phase_names_file_phase_key_and_what_is_allowed(phase, message):
    with pytest.raises(InputError, match=message):
        Recipe.parse({"phases": [PHASE | phase]}, "r.yaml")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"phases": []}, "r.yaml has no phases: expected a list of them"),
        ({"phases": {"steps": 1}}, "has no phases: expected a list"),
        ({"phases": ["train"]}, "r.yaml, phase 1 is 'train'; expected keys and values"),
        ({"scale": "big"}, "scale is 'big'; expected the factor of all lengths"),
        ({"max_steps": 5}, r"max_steps \(5\) does not go with r.yaml: its phases say how long"),
        ({"lr_scheduler_type": "cosine"}, "its phases have a learning_rate or a"),
        ({"pack_documents": True}, "the blocks of a recipe come in an order of their own"),
        ({"tokens": "3B"}, "r.yaml: tokens belongs to a phase: give it there"),
    ],
)
def test_a_mistake_beside_the_phases(given, message):
    with pytest.raises(InputError, match=message):
        Recipe.parse({"phases": [PHASE], **given}, "r.yaml")


def test_a_recipe_that_is_not_there(tmp_path):
    known = ", ".join(shipped_recipes())
    with pytest.raises(NotFoundError, match=f"no recipe etin; did you mean ettin.*{known}"):
        read_recipe("etin")
    with pytest.raises(NotFoundError, match=r"no recipe .*x.yaml. mlmfast has the recipes"):
        read_recipe(tmp_path / "x.yaml")


def test_every_shipped_recipe_names_its_sources():
    assert sorted(shipped_recipes()) == ["domain", "ettin", "guide", "mmbert", "scratch"]
    for name, file in shipped_recipes().items():
        assert read_recipe(name).phases
        first, *comments = file.read_text().splitlines()
        assert first.startswith("# ")
        assert any("http" in line or "et al." in line for line in comments)
