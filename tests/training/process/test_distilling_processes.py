"""Distillation in two processes: the same as in one."""

from __future__ import annotations

import pytest

import processes_at_work as work
from launching import launch
from mlmfast.training.train import train
from stopped_trainings import furthest
from tolerances import LOGGED, SUMS

ONE = {"per_device_train_batch_size": 20}
TWO = {"per_device_train_batch_size": 5, "gradient_accumulation_steps": 2}


def distilling(toy_blocks, folder):
    """Train a teacher there, and return the options that distill it."""
    whole = work.WITHOUT_DROPOUT | {"max_steps": 4, "eval_strategy": "no"}
    shape = whole["config_overrides"] | {"num_hidden_layers": 3}
    train(toy_blocks, output=folder, **(whole | {"config_overrides": shape}))
    options = {"teacher": str(folder), "student_layers": "0,2"}
    return options | {"precision": "fp32", "use_cpu": True, "quiet": True, "report": False}


def test_two_processes_distill_what_one_does(toy_blocks, tmp_path):
    """Each has its teacher; the parts of the loss are means over the tokens of both."""
    options = distilling(toy_blocks, tmp_path / "teacher")
    options |= {"num_train_epochs": 2, "logging_steps": 1, "learning_rate": 1e-3}
    alone = work.parts_of(toy_blocks, tmp_path / "one", options | ONE)
    ended = launch(2, work.parts_of, toy_blocks, tmp_path / "two", options | TWO)
    assert [each.status for each in ended] == [0, 0], ended
    assert len(alone) == 8
    for found in ended:
        for mine, theirs in zip(found.value, alone, strict=True):
            assert mine == pytest.approx(theirs, abs=2 * LOGGED)  # of the loss: 5 parts
    assert furthest(tmp_path / "one", tmp_path / "two") < SUMS


def test_two_processes_share_the_stored_answers(toy_blocks, tmp_path):
    """They divide the work of the teacher; one process computes the same files."""
    options = distilling(toy_blocks, tmp_path / "teacher")
    options |= {"num_train_epochs": 3, "logging_steps": 1, "learning_rate": 1e-3}
    options |= {"teacher_top_k": 5}
    one = options | {"teacher_answers": tmp_path / "answers-1"}
    two = options | {"teacher_answers": tmp_path / "answers-2"}
    alone = work.parts_of(toy_blocks, tmp_path / "one", one | ONE)
    ended = launch(2, work.parts_of, toy_blocks, tmp_path / "two", two | TWO)
    assert [each.status for each in ended] == [0, 0], ended
    for found in ended:
        for mine, theirs in zip(found.value, alone, strict=True):
            assert mine == pytest.approx(theirs, abs=2 * LOGGED)  # of the loss: 5 parts
    assert furthest(tmp_path / "one", tmp_path / "two") < SUMS
    files = [
        sorted(each.name for each in (tmp_path / name).glob("*.safetensors"))
        for name in ("answers-1", "answers-2")
    ]
    assert files[0] == files[1]
    assert len(files[0]) == 3
