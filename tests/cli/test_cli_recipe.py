"""`mlmfast recipe`, and `mlmfast train --recipe` on the command line."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from mixed_stores import make_stores
from mlmfast.cli.recipe import command as recipe
from mlmfast.cli.train import command as train
from mlmfast.errors import InputError
from mlmfast.training.recipes.recipe import shipped_recipes
from tiny_flags import TINY_FLAGS

MODEL = [
    *TINY_FLAGS,
    "--no-report",
    "--json",
    "--quiet",
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return make_stores(tmp_path_factory.mktemp("stores"))


def run(*words, command=recipe, expected=None):
    found = CliRunner().invoke(command, [*map(str, words)])
    if expected:
        assert isinstance(found.exception, expected), found.output
        return str(found.exception)
    assert found.exit_code == 0, found.output
    return found.stdout


@pytest.mark.parametrize("name", shipped_recipes())
def test_what_each_shipped_recipe_will_do(name, folders):
    table = run("check", name)
    assert table.startswith("phase ")
    assert run("show", name) == shipped_recipes()[name].read_text()
    assert f"\n{name} " in "\n" + run("list")
    if name in ("ettin", "mmbert"):
        assert "There is no" in table  # its stores have to be made
        return
    found = json.loads(run("check", name, folders["large"], "--json"))
    assert all(phase["steps"] > 0 for phase in found["phases"])


def test_the_figures_of_the_papers_scaled_by_a_thousandth():
    found = json.loads(run("check", "ettin", "--tokens-per-second", 1e6, "--json"))["phases"]
    tokens = [phase["tokens"] for phase in found]
    # Whole steps: the last phases have 7 and 2 of 4,608 blocks of 8,192 tokens.
    assert tokens[0] == pytest.approx(1.7e9, rel=0.01)
    assert [phase["steps"] for phase in found[1:]] == [7, 2]
    assert tokens[1:] == [7 * 4608 * 8192, 2 * 4608 * 8192]
    assert [phase["mlm_probability"] for phase in found] == ["0.3", "0.3", "0.15"]
    assert found[2]["learning_rate"] == "0.0004 to 1.6e-05 (1-sqrt)"
    assert found[0]["batch_size"] == "72 to 4,608"
    assert found[0]["hours"] == pytest.approx(tokens[0] / 1e6 / 3600)


def test_the_table_of_a_recipe_of_ones_own(folders, tmp_path):
    file = tmp_path / "my.json"
    phases = [
        {"name": "a", "steps": 10, "warmup_steps": 2, "data": {str(folders["large"]): 1}},
        {"name": "b", "epochs": 2, "mask_rate_schedule": "0.3:0.15"},
    ]
    content = {"batch_size": 4, "learning_rate": 1e-3, "phases": phases}
    file.write_text(json.dumps(content))
    lines = run("check", file, "--tokens-per-second", 100).splitlines()
    assert lines[0].split()[-3:] == ["learning", "rate", "hours"]
    assert "0 to 0.001 in 2 steps" in lines[1]
    assert lines[1].split()[2:5] == ["16", "10", "640"]
    assert lines[2].split()[1:4] == ["DATA", "?", "?"]
    assert lines[3].startswith("all")
    lines = run("check", file, folders["small"]).splitlines()
    assert lines[2].split()[1:3] == ["small", "16"]
    assert "?" not in lines[3]
    phases[0]["stepz"] = 5
    file.write_text(json.dumps(content))
    message = run("check", file, expected=InputError)
    assert message == f"{file}, phase 1 (a): there is no key 'stepz'; did you mean steps?"
    file.write_text(json.dumps({"phases": phases[1:], "learning_rte": 1}))
    assert "no batch_size" in run("check", file, expected=InputError)


def test_a_recipe_trains_and_the_command_line_overrides_its_options(folders, tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text(
        f"""
        data: {{{folders["large"]}: 1, {folders["small"]}: 1}}
        learning_rate: 5e-4
        seed: 7
        average_checkpoints: ema:0.5
        phases:
          - {{steps: 2, batch_size: 4}}
          - {{steps: 2, batch_size: 4, data: {folders["small"]}}}
        """
    )
    one = json.loads(run("--recipe", file, *MODEL, "--output", tmp_path / "one", command=train))
    assert [source["name"] for source in one["sources"]] == ["large", "small"]
    assert sum(source["read"] for source in one["sources"]) == 16
    assert 0 < one["sources"][0]["read"] < 8
    assert one["phases"][0]["learning_rate"] == "0.0005"
    assert "decay 0.5" in one["average"]
    given = [folders["large"], "--seed=0", "--learning-rate=1e-3"]
    words = [*given, f"--recipe={file}", *MODEL, "--output", tmp_path / "two"]
    two = json.loads(run(*words, command=train))
    assert [source["read"] for source in two["sources"]] == [8, 8]
    assert two["phases"][0]["learning_rate"] == "0.001"
    card = (tmp_path / "two" / "README.md").read_text()
    assert "| seed | `0` |" in card
    message = run(file, command=train, expected=InputError)
    assert message == f"The settings {file} have phases: give the file as --recipe {file}."
    words = ["--recipe", file, "--max-steps", 5, *MODEL, "--output", tmp_path / "three"]
    message = run(*words, command=train, expected=InputError)
    assert message.startswith(f"max_steps (5) does not go with {file}: its phases say how long")


def test_the_speed_and_the_memory_are_those_of_this_machine(folders, tmp_path):
    file = tmp_path / "my.json"
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    content = {
        "from_scratch": True,
        "model_type": "roberta",
        "config_overrides": shape | {"intermediate_size": 64},
        "precision": "fp32",
        "output": str(tmp_path / "model"),
        "learning_rate": 1e-3,
        "phases": [
            {"name": "a", "tokens": "1M", "batch_size": 1000, "warmup_steps": 1},
            {"name": "b", "epochs": 1, "batch_size": 4, "data": str(folders["small"])},
        ],
    }
    file.write_text(json.dumps(content))
    assert "nothing to measure on: give the block store" in run(
        "check", file, "--measure", expected=InputError
    )
    words = ["check", file, folders["large"], "--measure", "--use-cpu"]
    found = json.loads(run(*words, "--json"))["phases"]
    for phase in found:
        assert phase["memory"] > 2**20
        assert phase["hours"] == phase["tokens"] / phase["tokens_per_second"] / 3600
    assert [path.name for path in tmp_path.iterdir()] == ["my.json"]
