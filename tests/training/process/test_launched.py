"""The precision of `accelerate launch`, which --precision auto obeys."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from mlmfast.errors import InputError
from mlmfast.training.process import launched
from toy import TINY


@pytest.fixture
def launch(monkeypatch):
    """Begin as a process with these variables."""
    return lambda variables: monkeypatch.setattr(launched, "LAUNCHED", variables)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        (None, None),
        ("no", {"bf16": False}),
        ("bf16", {"bf16": True}),
        ("fp16", {"fp16": True}),
    ],
)
def test_what_a_launcher_says(launch, name, arguments):
    launch({} if name is None else {"ACCELERATE_MIXED_PRECISION": name})
    assert launched.launched_precision("cuda") == arguments


def test_what_cannot_be(launch):
    launch({"ACCELERATE_MIXED_PRECISION": "fp16"})
    with pytest.raises(InputError, match="fp16, which needs a GPU"):
        launched.launched_precision("cpu")
    launch({"ACCELERATE_MIXED_PRECISION": "fp8"})
    with pytest.raises(InputError, match="'fp8'; expected one of no, bf16, fp16"):
        launched.launched_precision("cuda")


# The real launcher, and its variable alone; both ways, so that one differs from this machine's own.
@pytest.mark.parametrize(
    ("launcher", "variable", "given", "precision"),
    [
        (["--mixed_precision", "no"], None, [], "fp32"),
        (["--mixed_precision", "bf16"], None, [], "bf16"),
        ([], "bf16", ["--precision", "fp32"], "fp32"),
    ],
)
def test_auto_obeys_it(toy_blocks, tmp_path, launcher, variable, given, precision):
    words = [sys.executable]
    if launcher:
        words += ["-m", "accelerate.commands.launch", "--num_processes", "1", "--cpu", *launcher]
    words += ["-m", "mlmfast", "train", str(toy_blocks), "--from-scratch", "--model-type"]
    words += ["roberta", "--output", str(tmp_path / "out"), "--use-cpu", "true", "--json"]
    words += ["--config-overrides", ",".join(f"{name}={value}" for name, value in TINY.items())]
    words += ["--eval-strategy", "no", "--max-steps", "1", "--no-report", *given]
    known = {name: value for name, value in os.environ.items() if "ACCELERATE" not in name}
    # Without a configuration file of the user's.
    known["HF_HOME"] = str(tmp_path / "hf")
    if variable:
        known["ACCELERATE_MIXED_PRECISION"] = variable
    ended = subprocess.run(words, capture_output=True, text=True, check=False, env=known)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.strip().splitlines()[-1])["precision"] == precision
