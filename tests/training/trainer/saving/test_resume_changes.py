"""Resumes with other options than the checkpoint's: said, refused, or taken from its step on."""

from __future__ import annotations

import json
import logging
import math
import shutil
import signal

import pytest
import torch
import transformers

from mlmfast.data.store.store import open_splits
from mlmfast.errors import InputError
from mlmfast.training.datasets import EvaluationBlocks, MaskedBlocks
from mlmfast.training.model.from_scratch import new_model
from mlmfast.training.train import train
from mlmfast.training.trainer.interrupt import TrainingInterrupted
from mlmfast.training.trainer.mlm_trainer import MLMTrainer
from mlmfast.training.trainer.saving.resume_changes import ARGUMENTS_FILE, argument_changes
from quiet_arguments import quiet_arguments
from toy import SCRATCH, TINY

# Six steps; the rate falls in a straight line from 1e-3 to 0. What the tests change is given, not
# left to the defaults of random weights.
OPTIONS = SCRATCH | {
    "mlm_probability": 0.15,
    "warmup_steps": 0,
    "weight_decay": 0.01,
    "adam_beta2": 0.999,
    "num_train_epochs": 1,
    "per_device_train_batch_size": 12,
    "eval_strategy": "no",
    "logging_steps": 1,
}
STOPPED = 2


class At(transformers.TrainerCallback):
    def on_step_end(self, _args, state, _control, **_kwargs):
        if state.global_step == STOPPED:
            signal.raise_signal(signal.SIGINT)


class Sees(transformers.TrainerCallback):
    """Keeps what was logged, and the optimizer as it is at the first step of a resume."""

    def __init__(self):
        self.logs, self.groups, self.moments = {}, None, None

    def on_step_begin(self, _args, _state, _control, optimizer=None, **_kwargs):
        if self.groups is None:
            self.groups = [
                {name: value for name, value in group.items() if name != "params"}
                for group in optimizer.param_groups
            ]
            self.moments = len(optimizer.state)

    def on_log(self, _args, state, _control, logs=None, **_kwargs):
        self.logs.setdefault(state.global_step, {}).update(logs)


@pytest.fixture(scope="module")
def stopped(toy_blocks, tmp_path_factory):
    """The working folder of a training that ended after two steps."""
    output = tmp_path_factory.mktemp("stopped") / "out"
    with pytest.raises(TrainingInterrupted):
        train(toy_blocks, output=output, callbacks=[At()], **OPTIONS)
    return output.with_name("out.partial")


@pytest.fixture
def resume(toy_blocks, stopped, tmp_path):
    """Go on from a copy with other options; give the result and what a callback saw."""
    shutil.copytree(stopped, tmp_path / "out.partial")

    def go_on(**options):
        sees = Sees()
        options = {"resume_from_checkpoint": True} | OPTIONS | options
        return train(toy_blocks, output=tmp_path / "out", callbacks=[sees], **options), sees

    return go_on


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"learning_rate": 5e-4}, r"learning_rate 0\.001 -> 0\.0005"),
        ({"weight_decay": 0.2}, r"weight_decay 0\.01 -> 0\.2"),
        ({"adam_beta2": 0.98}, r"adam_beta2 0\.999 -> 0\.98"),
        ({"optim": "adafactor"}, "optim adamw_torch.* -> adafactor"),
        ({"lr_scheduler_type": "cosine"}, "lr_scheduler_type linear -> cosine"),
        ({"warmup_steps": 3}, "warmup_steps 0 -> 3"),
        ({"max_grad_norm": 0.5}, r"max_grad_norm 1\.0 -> 0\.5"),
        ({"mlm_probability": 0.3}, r"another mlm_probability \(0\.15, now 0\.3\).*--override"),
        ({"mask_mode": "whole_word"}, r"another mode \(token, now whole_word\)"),
    ],
    ids=str,
)
def test_what_differs_is_named_and_refused(resume, tmp_path, options, told):
    with pytest.raises(InputError, match=told) as raised:
        resume(**options)
    assert "--override" in str(raised.value)
    assert f"checkpoint-{STOPPED} is kept" in str(raised.value)
    assert (tmp_path / "out.partial" / f"checkpoint-{STOPPED}").is_dir()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"seed": 3}, r"another seed \(0, now 3\)"),
        ({"data_seed": 3}, r"another data_seed \(None, now 3\)"),
        ({"per_device_train_batch_size": 6}, r"another blocks_a_step \(12, now 6\)"),
        ({"max_train_samples": 20}, r"another data:"),
    ],
    ids=str,
)
def test_what_decides_the_blocks_of_a_step_cannot_be_overridden(resume, options, told):
    with pytest.raises(InputError, match=told) as raised:
        resume(override=True, **options)
    assert "with --override" not in str(raised.value)


def test_a_new_learning_rate_counts_from_the_resumed_step_on(resume, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        result, sees = resume(learning_rate=5e-4, weight_decay=0.2, override=True)
    assert "learning_rate 0.001 -> 0.0005, weight_decay 0.01 -> 0.2" in caplog.text
    # After a step, the rate of the next one is logged, as the Trainer has it.
    assert sees.groups[0]["lr"] == pytest.approx(5e-4 * (6 - STOPPED) / 6)
    for step in (3, 4, 5):
        assert sees.logs[step]["learning_rate"] in (
            pytest.approx(5e-4 * (6 - step) / 6),
            pytest.approx(5e-4 * (7 - step) / 6),
        )
    assert [group["weight_decay"] for group in sees.groups] == [0.2, 0.0]
    assert sees.moments  # the moments are the checkpoint's
    assert [(each.name, each.step) for each in result.changes] == [
        ("learning_rate", STOPPED),
        ("weight_decay", STOPPED),
    ]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| learning_rate | `0.0005` |" in card
    assert "At step 2 a resume changed `learning_rate` from 0.001, `weight_decay` from" in card
    kept = json.loads((tmp_path / "out" / "mlmfast_training.json").read_text())
    assert kept["changes"][0] == {
        "name": "learning_rate",
        "before": 1e-3,
        "after": 5e-4,
        "step": STOPPED,
    }


def test_an_override_that_overrides_nothing_changes_nothing(resume, toy_blocks, tmp_path):
    plain, _ = resume()
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(TrainingInterrupted):
        train(toy_blocks, output=tmp_path / "out", callbacks=[At()], **OPTIONS)
    found, _ = resume(override=True)
    assert (found.train_loss, found.changes) == (plain.train_loss, ())


def test_another_optimizer_begins_with_a_new_state(resume, caplog):
    with caplog.at_level(logging.WARNING):
        result, sees = resume(optim="adafactor", override=True)
    assert "another optimizer: its state is reset" in caplog.text
    assert result.steps == 6
    assert sees.moments == 0
    assert sees.groups[0]["lr"] == pytest.approx(1e-3 * (6 - STOPPED) / 6)


def test_another_schedule_goes_on_at_the_step(resume):
    _, sees = resume(lr_scheduler_type="cosine", override=True)
    wave = 0.5 * (1 + math.cos(math.pi * STOPPED / 6))
    assert sees.groups[0]["lr"] == pytest.approx(1e-3 * wave)


def test_masks_are_taken_with_override_and_told(resume, tmp_path):
    result, _ = resume(mlm_probability=0.3, override=True)
    (change,) = result.changes
    assert (str(change), change.step) == ("mlm_probability 0.15 -> 0.3", STOPPED)
    assert "resume changed `mlm_probability` from 0.15" in (tmp_path / "out/README.md").read_text()


def test_the_changes_of_an_earlier_resume_stay_told(resume):
    """The second resume has the options of the first, and no need of an override."""
    first = {"learning_rate": 5e-4, "max_time": 1e-6}
    with pytest.raises(TrainingInterrupted, match="step 3"):
        resume(override=True, **first)
    result, _ = resume(learning_rate=5e-4)
    assert [(each.name, each.step) for each in result.changes] == [("learning_rate", STOPPED)]


def test_how_often_is_as_is_said_now_and_the_length_may_change(resume, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        result, sees = resume(
            num_train_epochs=2,
            logging_steps=5,
            save_strategy="steps",
            save_steps=4,
            save_total_limit=9,
            keep_checkpoints=True,
        )
    assert "num_train_epochs 1 -> 2" in caplog.text
    assert result.steps == 12
    assert [step for step, logs in sees.logs.items() if "loss" in logs] == [5, 10, 12]
    assert {path.name for path in (tmp_path / "out").glob("checkpoint-*")} == {
        "checkpoint-2",
        "checkpoint-4",
        "checkpoint-8",
        "checkpoint-12",
    }


def test_other_defaults_of_another_version_are_no_change(resume, tmp_path):
    file = tmp_path / "out.partial" / f"checkpoint-{STOPPED}" / ARGUMENTS_FILE
    noted = json.loads(file.read_text())
    optim = noted["arguments"]["optim"]
    other = {"adamw_torch": "adamw_torch_fused", "adamw_torch_fused": "adamw_torch"}[optim]
    noted["arguments"] |= {"optim": other, "warmup_ratio": None, "warmup_steps": 0.0}
    # As long as it was, since the checkpoint lists the sizes of its files.
    file.write_text(json.dumps(noted).ljust(file.stat().st_size))
    assert resume()[0].changes == ()


@pytest.mark.parametrize(
    "before", [{"warmup_steps": 0.25, "warmup_ratio": None}, {"warmup_steps": 0.25}]
)
def test_a_share_of_the_steps_is_the_same_in_both_versions(before, tmp_path):
    share = "warmup_ratio" in transformers.TrainingArguments.__dataclass_fields__
    given = {"warmup_ratio" if share else "warmup_steps": 0.25}
    args = transformers.TrainingArguments(tmp_path, use_cpu=True, report_to="none", **given)
    noted = {"learning_rate": args.learning_rate}
    assert argument_changes(noted | before, args) == []
    (change,) = argument_changes(noted | {"warmup_steps": 3, "warmup_ratio": 0.25}, args)
    assert str(change) == "warmup_steps 3 -> 0.25"


def test_another_programs_optimizer_tells_its_rate(resume, tmp_path):
    """Such checkpoints do not list their arguments."""
    (tmp_path / "out.partial" / f"checkpoint-{STOPPED}" / ARGUMENTS_FILE).unlink()
    (tmp_path / "out.partial" / f"checkpoint-{STOPPED}" / "mlmfast_checkpoint.json").unlink()
    with pytest.raises(InputError, match=r"learning_rate 0\.001 -> 0\.0005, weight_decay 0\.01 ->"):
        resume(learning_rate=5e-4, weight_decay=0.0)
    with pytest.raises(InputError, match=r"optimizer of .* is another one"):
        resume(optim="adafactor")
    assert resume()[0].steps == 6


def make_trainer(toy_blocks, folder, **given):
    splits = open_splits(toy_blocks)
    transformers.set_seed(0)
    arguments = quiet_arguments(
        folder,
        save_strategy="steps",
        **{"max_steps": 4, "save_steps": 2, "learning_rate": 1e-3} | given,
    )
    return MLMTrainer(
        new_model(splits["train"], model_type="roberta", config_overrides=TINY),
        arguments,
        train_dataset=MaskedBlocks(splits["train"]),
        eval_dataset=EvaluationBlocks(splits["test"]),
    )


def test_the_trainer_says_what_it_does_not_take(toy_blocks, tmp_path, caplog):
    """As the Trainer does, MLMTrainer goes on with the optimizer's own rate; but not silently."""
    make_trainer(toy_blocks, tmp_path, max_steps=2).train()
    checkpoint = str(tmp_path / "checkpoint-2")
    other = make_trainer(toy_blocks, tmp_path, learning_rate=5e-4)
    with caplog.at_level(logging.WARNING):
        other.train(resume_from_checkpoint=checkpoint)
    assert "learning_rate 0.001 -> 0.0005" in caplog.text
    assert other.lr_scheduler.base_lrs == [1e-3, 1e-3]
    kept = json.loads((tmp_path / "checkpoint-4" / ARGUMENTS_FILE).read_text())
    assert kept["arguments"]["learning_rate"] == 1e-3
    taking = make_trainer(toy_blocks, tmp_path, learning_rate=5e-4)
    taking.override = True
    taking.train(resume_from_checkpoint=checkpoint)
    assert taking.lr_scheduler.base_lrs == [5e-4, 5e-4]
    with pytest.raises(InputError, match=r"optim adamw_torch.* -> adafactor"):
        make_trainer(toy_blocks, tmp_path, optim="adafactor").train(
            resume_from_checkpoint=checkpoint
        )


def test_a_schedule_that_follows_the_evaluations_takes_a_new_rate(toy_blocks, tmp_path):
    given = {
        "lr_scheduler_type": "reduce_lr_on_plateau",
        "eval_strategy": "steps",
        "eval_steps": 1,
        "metric_for_best_model": "loss",
    }
    make_trainer(toy_blocks, tmp_path, max_steps=2, **given).train()
    other = make_trainer(toy_blocks, tmp_path, **given | {"learning_rate": 5e-4})
    other.override = True
    other.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert [group["lr"] for group in other.optimizer.param_groups] == [5e-4, 5e-4]
    assert isinstance(other.lr_scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
