"""`mlmfast train --data STORE WEIGHT`: a mixture on the command line and in a file of settings."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from mixed_stores import make_stores
from mlmfast.cli.evaluate import command as evaluate
from mlmfast.cli.train import command as train
from mlmfast.errors import InputError
from tiny_flags import TINY_FLAGS
from tolerances import KERNELS

MODEL = [
    *TINY_FLAGS,
    "--no-report",
    "--json",
    "--quiet",
    "--max-steps=6",
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return make_stores(tmp_path_factory.mktemp("stores"))


def run(*words, command=train, expected=0):
    found = CliRunner().invoke(command, [*map(str, words)])
    if expected:
        assert isinstance(found.exception, InputError), found.output
        return str(found.exception)
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def test_a_mixture_trains_and_a_file_of_settings_gives_the_same(folders, tmp_path):
    large, small = folders["large"], folders["small"]
    one = run("--data", large, "3", "--data", small, "1", *MODEL, "--output", tmp_path / "one")
    assert [source["probability"] for source in one["sources"]] == [0.75, 0.25]
    assert sum(source["read"] for source in one["sources"]) == 48  # of 6 steps
    assert set(one["after"]["sources"]) == {"large", "small"}
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"data": {str(large): 0.75, str(small): 0.25}}))
    two = run("--config", settings, *MODEL, "--output", tmp_path / "two")
    assert two["sources"] == one["sources"]
    assert two["after"]["loss"] == one["after"]["loss"]


def test_shares_by_size_and_a_temperature(folders, tmp_path):
    words = [word for folder in folders.values() for word in ("--data", folder, "auto")]
    found = run(*words, "--data-temperature", "1e9", *MODEL, "--output", tmp_path / "model")
    shares = [source["probability"] for source in found["sources"]]
    assert shares == pytest.approx([1 / 3] * 3)


def test_named_stores_to_evaluate_on(folders, tmp_path):
    """One store to train on, two to measure on; `evaluate` gives the same figures."""
    words = [f"big={folders['large']}", str(folders["small"] / "test")]
    given = [word for one in words for word in ("--eval-data", one)]
    one = run(folders["padded"], *given, *MODEL, "--output", tmp_path / "one")
    assert set(one["after"]["sources"]) == {"big", "small"}
    settings = tmp_path / "settings.json"
    named = {"big": str(folders["large"]), "small": str(folders["small"])}
    settings.write_text(json.dumps({"data": str(folders["padded"]), "eval_data": named}))
    two = run("--config", settings, *MODEL, "--output", tmp_path / "two")
    again = [word for one in words for word in ("--data", one)]
    three = run(tmp_path / "one", *again, "--json", command=evaluate)
    for name in ("big", "small"):
        loss = one["after"]["sources"][name]["loss"]
        assert two["after"]["sources"][name]["loss"] == loss
        assert three["sources"][name]["loss"] == pytest.approx(loss, rel=KERNELS)
    against = ["--against", tmp_path / "two"]
    assert "compares on one block store" in run(
        tmp_path / "one", *again, *against, command=evaluate, expected=2
    )


def test_what_contradicts_itself_is_refused(folders, tmp_path):
    large, out = folders["large"], ["--output", tmp_path / "model", *MODEL]
    assert "and --data both name what to train on" in run(
        large, "--data", large, 1, *out, expected=2
    )
    assert "is for a mixture" in run(large, "--data-temperature", 2, *out, expected=2)
    assert "expected a number or auto" in run("--data", large, "half", *out, expected=2)
    assert not (tmp_path / "model").exists()
