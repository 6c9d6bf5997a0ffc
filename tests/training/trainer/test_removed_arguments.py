"""Training arguments of transformers 4: with either version they mean what they meant there."""

from __future__ import annotations

import logging

import pytest

from mlmfast.errors import InputError
from mlmfast.training.options.arguments import build_arguments, split_flags
from mlmfast.training.options.removed import removed_names
from mlmfast.training.run_mlm.arguments import parse_run_mlm
from mlmfast.training.trainer.block_batches import groups_by_length

NEEDED = ["--model_name_or_path", "m", "--train_file", "t.txt", "--output_dir", "o"]
WORDS = ["--warmup_ratio", "0.1", "--group_by_length", "--no_cuda", "--adafactor", "yes"]
WORDS += ["--per_gpu_train_batch_size=4"]


def check(arguments):
    assert arguments.get_warmup_steps(100) == 10
    assert groups_by_length(arguments)
    assert arguments.device.type == "cpu"
    assert str(getattr(arguments.optim, "value", arguments.optim)) == "adafactor"
    assert arguments.train_batch_size == 4


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_run_mlm_takes_them():
    arguments = parse_run_mlm([*NEEDED, *WORDS, "--overwrite_output_dir"])[1]
    check(arguments)
    assert arguments.overwrite_output_dir is True
    assert parse_run_mlm([*NEEDED, "--no_cuda"])[1].overwrite_output_dir is False


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_train_takes_them_as_flags_and_keywords(tmp_path):
    rest, given = split_flags(["blocks", *(word.replace("_", "-") for word in WORDS)], set())
    assert rest == ["blocks"]
    check(build_arguments(tmp_path, given))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_number_of_warm_up_steps_wins_over_a_share(tmp_path):
    arguments = build_arguments(tmp_path, {"warmup_steps": 7, "warmup_ratio": 0.5, "no_cuda": True})
    assert arguments.get_warmup_steps(100) == 7


def test_what_has_no_successor_is_named(tmp_path, caplog):
    if "logging_dir" in removed_names():
        with caplog.at_level(logging.WARNING):
            build_arguments(tmp_path, {"logging_dir": "logs", "use_cpu": True})
        assert "logging_dir has no effect" in caplog.text


def test_a_value_of_another_type_is_refused(tmp_path):
    if "warmup_ratio" in removed_names():
        with pytest.raises(InputError, match="warmup_ratio is 'much'"):
            build_arguments(tmp_path, {"warmup_ratio": "much", "use_cpu": True})
