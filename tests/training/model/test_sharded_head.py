"""The head on masked rows where FSDP divides the weights among processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from mlmfast.training.model.masked_head import ALL_ROWS, LAST_LAYER_TOO, MASKED_ROWS
from places import SUPPORT
from tolerances import KERNELS
from transformers_traits import REPEATS_HOOKS

SCOPES = {
    "bert+2": LAST_LAYER_TOO,
    "modernbert+2": LAST_LAYER_TOO,
    "bert+checkpointing+2": LAST_LAYER_TOO if REPEATS_HOOKS else MASKED_ROWS,
    "roberta+1": MASKED_ROWS,
    "bert+checkpointing+1": MASKED_ROWS,
    "bert+neighbours+2": ALL_ROWS,
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What two processes with gloo found."""
    file = tmp_path_factory.mktemp("sharded") / "rendezvous"
    path = os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])
    processes = [
        subprocess.Popen(
            [sys.executable, str(SUPPORT / "sharded_heads.py"), str(rank), str(file), *SCOPES],
            env={**os.environ, "PYTHONPATH": path},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
    return json.loads((file.parent / f"{file.name}.json").read_text())


@pytest.mark.parametrize("case", SCOPES)
def test_loss_and_gradients_are_those_of_one_process(results, case):
    found = results[case]
    assert found["scope"] == SCOPES[case]
    assert found["rows"] == found["masked"] > 0
    assert found["loss"] == pytest.approx(found["dense"], rel=KERNELS)
    assert found["gradients"] < KERNELS


def test_a_model_whose_trial_fails_is_named(results):
    (sentence,) = results["bert+neighbours+2"]["said"]
    assert sentence == (
        "under FSDP 2, this bert model gives other logits on masked rows alone: its head runs on "
        "all rows"
    )
    assert not any(results[case]["said"] for case in SCOPES if "neighbours" not in case)
