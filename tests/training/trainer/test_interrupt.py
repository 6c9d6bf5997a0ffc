"""Trainings that end early: SIGTERM, SIGUSR1 and a time limit, and how they are gone on with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest
import torch
import transformers
from safetensors.torch import load_file

import processes_at_work as work
from launching import launch
from mlmfast.errors import InputError
from mlmfast.training.options.durations import seconds_of
from mlmfast.training.setup import model as module
from mlmfast.training.train import train
from mlmfast.training.trainer.interrupt import TrainingInterrupted
from toy import SCRATCH, TINY

# Six steps an epoch.
OPTIONS = SCRATCH | {"num_train_epochs": 1, "per_device_train_batch_size": 12}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def whole(toy_blocks, tmp_path_factory):
    """A training that nothing interrupts."""
    return train(toy_blocks, output=tmp_path_factory.mktemp("whole") / "out", **OPTIONS)


def same_weights(one, other):
    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ("2h", 7200),
        ("90m", 5400),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("1.5h", 5400),
        ("1:30:00", 5400),
        ("45s", 45),
        ("1d", 86400),
        ("3600", 3600),
        (0.5, 0.5),
        (timedelta(minutes=3), 180),
    ],
)
def test_durations(duration, seconds):
    assert seconds_of(duration) == seconds


@pytest.mark.parametrize("duration", ["", "soon", "2 fortnights", "h2", 0, -1, "0m", "inf", "nan"])
def test_what_is_no_duration(duration):
    with pytest.raises(InputError, match="is not a duration; expected one such as 90m, 2h"):
        seconds_of(duration)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_leaves_a_checkpoint_to_go_on_from(whole, toy_blocks, tmp_path, number):
    """Although checkpoints were to hold weights alone, and at another step."""
    options = OPTIONS | {"save_only_model": True}
    (stopped,) = launch(1, work.train_and_die, toy_blocks, tmp_path / "out", options, 2, 0, number)
    assert stopped.error == "TrainingInterrupted"
    assert stopped.message.startswith(f"Stopped by {number.name}: the checkpoint of step 2 is in")
    assert "the same command with --resume-from-checkpoint resumes" in stopped.message
    assert not (tmp_path / "out").exists()
    train(toy_blocks, output=tmp_path / "out", resume_from_checkpoint="auto", **OPTIONS)
    assert same_weights(whole.output, tmp_path / "out")


def test_one_process_stops_all_after_the_same_step(toy_blocks, tmp_path):
    stopped = launch(
        2, work.train_and_die, toy_blocks, tmp_path / "out", OPTIONS, 2, 1, signal.SIGTERM
    )
    assert [each.error for each in stopped] == ["TrainingInterrupted", "TrainingInterrupted"]
    assert "Stopped by SIGTERM: the checkpoint of step 2 is in" in stopped[0].message
    assert [path.name for path in (tmp_path / "out.partial").glob("check*")] == ["checkpoint-2"]


class At(transformers.TrainerCallback):
    """Sends this process a signal in an evaluation, before its second batch."""

    batches = 0

    def on_prediction_step(self, _args, state, _control, **_kwargs):
        if state.global_step:
            self.batches += 1
            if self.batches == 1:
                signal.raise_signal(signal.SIGTERM)


def test_a_signal_in_an_evaluation_does_not_wait_for_its_end(whole, toy_blocks, tmp_path):
    asks = At()
    options = OPTIONS | {
        "eval_strategy": "steps",
        "eval_steps": 4,
        "per_device_eval_batch_size": 2,
    }
    with pytest.raises(TrainingInterrupted, match="Stopped by SIGTERM: the checkpoint of step 4"):
        train(toy_blocks, output=tmp_path / "out", callbacks=[asks], **options)
    assert asks.batches == 1
    train(toy_blocks, output=tmp_path / "out", resume_from_checkpoint=True, **options)
    assert same_weights(whole.output, tmp_path / "out")


def test_a_signal_before_the_first_step_leaves_nothing(toy_blocks, tmp_path, monkeypatch):
    choose = module.choose_model

    def slow(*args):
        signal.raise_signal(signal.SIGTERM)
        return choose(*args)

    monkeypatch.setattr(module, "choose_model", slow)
    with pytest.raises(TrainingInterrupted, match=r"Stopped by SIGTERM.* nothing was left") as told:
        train(toy_blocks, output=tmp_path / "out", **OPTIONS)
    assert told.value.exit_status == 143
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("saving", [{}, {"save_strategy": "best", "metric_for_best_model": "top1"}])
def test_the_time_limit_measures_and_saves(whole, toy_blocks, tmp_path, saving):
    """Each call makes a step at least, and the last one the finished model."""
    options = OPTIONS | {"max_steps": 2, "eval_strategy": "steps", "eval_steps": 1} | saving
    with pytest.raises(TrainingInterrupted, match="at the time limit") as told:
        train(toy_blocks, output=tmp_path / "out", max_time=1e-6, **options)
    assert told.value.exit_status == 124
    assert "the checkpoint of step 1 is in" in str(told.value)
    evaluation = told.value.evaluation
    assert evaluation.masked_tokens == whole.after.masked_tokens
    assert str(evaluation) in str(told.value)
    again = {"max_time": 1e-6, "resume_from_checkpoint": "auto"}
    assert train(toy_blocks, output=tmp_path / "out", **again, **options).steps == 2
    assert not (tmp_path / "out.partial").exists()


def test_two_processes_stop_at_one_time(toy_blocks, tmp_path):
    stopped = launch(
        2, work.train_on, toy_blocks, tmp_path / "out", OPTIONS | {"max_time": "0.001s"}
    )
    assert [each.error for each in stopped] == ["TrainingInterrupted", "TrainingInterrupted"]
    assert "the checkpoint of step 1 is in" in stopped[0].message


def test_there_is_time_enough(toy_blocks, tmp_path):
    options = OPTIONS | {"max_steps": 1, "eval_strategy": "no"}
    output = tmp_path / "out"
    found = train(
        toy_blocks, output=output, max_time="1h", resume_from_checkpoint="auto", **options
    )
    assert found.steps == 1


def test_the_command_ends_with_the_signals_status_and_goes_on_by_itself(toy_blocks, tmp_path):
    """A process as a cluster manager has it: told to end once it has logged a step."""
    words = [sys.executable, "-m", "mlmfast", "train", str(toy_blocks), "--from-scratch"]
    words += ["--model-type", "roberta", "--output", str(tmp_path / "out"), "--use-cpu", "true"]
    words += ["--config-overrides", ",".join(f"{name}={value}" for name, value in TINY.items())]
    words += ["--precision", "fp32", "--eval-strategy", "no", "--logging-steps", "1"]
    words += ["--resume-from-checkpoint", "auto", "--no-report", "--save-strategy", "no"]
    endless = [*words, "--max-steps", "1000000"]
    with subprocess.Popen(endless, stderr=subprocess.PIPE, text=True, env=os.environ) as process:
        for line in process.stderr:
            if line.startswith("step 1/"):
                process.send_signal(signal.SIGTERM)
                break
        said = process.stderr.read()
    assert process.returncode == 143
    sentence = said.strip().splitlines()[-1]
    assert sentence.startswith("Stopped by SIGTERM: the checkpoint of step ")
    step = int(sentence.split("of step ")[1].split()[0])
    short = [*words, "--max-steps", str(step + 1)]
    ended = subprocess.run(short, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert f"trained {step + 1:,} steps" in ended.stdout
