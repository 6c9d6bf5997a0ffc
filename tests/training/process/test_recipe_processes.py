"""A training in phases in two processes: the same as in one."""

from __future__ import annotations

import pytest

import processes_at_work as work
from launching import launch
from mixed_stores import make_stores
from stopped_trainings import furthest
from tolerances import LOGGED, SUMS


def test_phases_are_trained_as_in_one_process(tmp_path):
    """In the first steps, a process has no block of some batches that the other computes."""
    folders = make_stores(tmp_path)
    large, small = str(folders["large"]), str(folders["small"])
    growth = {"batch_size_warmup_min_size": 1, "batch_size_warmup_tokens": 200}
    recipe = {
        "learning_rate": 1e-3,
        "batch_size": 8,
        "phases": [
            {"data": {large: 1, small: 1}, "steps": 5, "warmup_steps": 2, **growth},
            {"data": large, "steps": 3, "learning_rate_schedule": "1e-3:0"},
        ],
    }
    shared = {name: each for name, each in work.WITHOUT_DROPOUT.items() if name != "learning_rate"}
    options = shared | {"recipe": recipe, "logging_steps": 1}
    rows = {"per_device_train_batch_size": 8}
    alone = work.train_on(None, tmp_path / "one", options | rows)
    assert len(alone[1]) == 8
    rows = {"per_device_train_batch_size": 2}
    ended = launch(2, work.train_on, None, tmp_path / "two", options | rows)
    assert [each.status for each in ended] == [0, 0], ended
    for found in (each.value for each in ended):
        assert found[1] == pytest.approx(alone[1], abs=LOGGED)  # the log has four digits
        assert found[3]["loss"] == pytest.approx(alone[3]["loss"], rel=SUMS)
    assert furthest(tmp_path / "one", tmp_path / "two") < SUMS
