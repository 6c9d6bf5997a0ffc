"""Trainings in phases: resumed anywhere to the same bits, evaluated and saved phase by phase."""

from __future__ import annotations

import json

import pytest
import transformers

from log_lines import log_lines
from mixed_stores import make_stores
from mlmfast.data.prepare.api import prepare
from mlmfast.errors import InputError, NotFoundError
from mlmfast.training.evaluation.evaluate import evaluate
from mlmfast.training.train import train
from mlmfast.training.trainer.interrupt import TrainingInterrupted
from stopped_trainings import At, press_ctrl_c, same_weights
from tolerances import KERNELS
from toy import SCRATCH

# With dropout. A step has up to 6 batches of 2 blocks, and empty ones where it needs fewer.
OPTIONS = {name: value for name, value in SCRATCH.items() if name != "learning_rate"}
OPTIONS |= {"per_device_train_batch_size": 1, "average_checkpoints": "last:2", "report": True}
ENDS = (5, 8, 12)


class Rates(transformers.TrainerCallback):
    """Notes the learning rate of each step."""

    def __init__(self):
        self.seen = []

    def on_step_begin(self, _args, _state, _control, optimizer=None, **_kwargs):
        self.seen.append(optimizer.param_groups[0]["lr"])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("stores")
    found = make_stores(root)
    found["long"] = root / "long"
    given = {"tokenizer": root / "tokenizer", "block_size": 32, "test_size": 0.2}
    prepare(str(root / "large.txt"), found["long"], **given)
    return {name: str(path) for name, path in found.items()}


@pytest.fixture(scope="module")
def recipe(folders):
    return {
        "learning_rate": "1e-3",
        "phases": [
            {
                "name": "stable",
                "data": {folders["large"]: 0.6, folders["small"]: 0.4},
                "steps": 5,
                "batch_size": 9,
                "batch_size_warmup_min_size": 3,
                "batch_size_warmup_tokens": 300,
                "warmup_steps": 2,
                "mlm_probability": 0.3,
            },
            # Cut from the blocks that the next phase reads whole.
            {
                "name": "more",
                "data": folders["long"],
                "block_size": 16,
                "steps": 3,
                "batch_size": 4,
            },
            {
                "name": "long",
                "data": folders["long"],
                "tokens": 14 * 32,
                "batch_size": 4,
                "mask_rate_schedule": "0.3:0.1",
                "learning_rate_schedule": "1e-3:0:1-sqrt",
            },
        ],
    }


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory):
    """A training in three phases, and the lines of its log."""
    with log_lines() as lines:
        output = tmp_path_factory.mktemp("whole") / "model"
        return train(recipe=recipe, output=output, logging_steps=1, **OPTIONS), lines


def test_a_training_that_is_stopped_anywhere_ends_with_the_same_bits(whole, recipe, tmp_path):
    """In the middle of a phase; at the end of one; killed, with the checkpoint of a phase's end."""
    result, _ = whole
    given = {"recipe": recipe, "output": tmp_path / "out", "logging_steps": 1, **OPTIONS}

    def fail():
        raise RuntimeError("the machine is gone")

    with pytest.raises(TrainingInterrupted):
        train(callbacks=[At(3, press_ctrl_c)], **given)
    given["resume_from_checkpoint"] = True
    with pytest.raises(TrainingInterrupted):
        train(callbacks=[At(ENDS[0], press_ctrl_c)], **given)
    other = {**recipe, "phases": [*recipe["phases"][:2], recipe["phases"][2] | {"batch_size": 5}]}
    with pytest.raises(InputError, match=r"another phase 3 \(long\) \(4 steps of 4 bl"):
        train(**given | {"recipe": other})
    with pytest.raises(RuntimeError, match="machine is gone"):
        train(callbacks=[At(10, fail)], **given)
    partial = tmp_path / "out.partial"
    assert [path.name for path in partial.glob("checkpoint-*")] == [f"checkpoint-{ENDS[1]}"]
    again = train(**given)
    assert same_weights(tmp_path / "out", result.output)
    assert same_weights(tmp_path / "out" / "last", result.output / "last")
    assert again.sources == result.sources
    assert again.average == result.average == "the mean of the weights at steps 8, 12"


def test_the_rates_and_evaluations_are_those_of_the_phases(whole):
    result, lines = whole
    assert result.steps == ENDS[-1]
    log = json.loads((result.output / "mlmfast_training.json").read_text())
    assert [phase["name"] for phase in log["phases"]] == ["stable", "more", "long"]
    assert [phase["steps"] for phase in log["phases"]] == [5, 3, 4]
    assert log["phases"][2]["tokens"] == 16 * 32
    begun = [line for line in lines if line.startswith("phase ")]
    assert begun[0].startswith("phase 1 of 3, stable: steps 1 to 5; 3 to 9 blocks of 16 tokens in")
    assert len(begun) == 3
    assert "more reads each block of" in " ".join(lines)
    names = [source.name for source in result.sources]
    assert names == ["large", "small", "long (16)", "long (32)"]
    assert sum(source.read for source in result.sources) == sum((3, 5, 7, 9, 9)) + 12 + 16
    assert result.tokens_per_second > 0
    assert result.mfu is None  # blocks of two lengths
    assert result.after.block_size == 32  # those of the last phase
    assert "trained 12 steps (3 phases)" in str(result)


def test_card_and_report_have_the_phases(whole):
    result, _ = whole
    card = (result.output / "README.md").read_text()
    row = "| stable | large 60.0%, small 40.0% | 16 | 5 | 528 | 3 to 9 | 0.3 | 0 to 0.001 in 2 ste"
    assert row in card
    assert "lr_scheduler_type" not in card
    assert "Phases" in (result.output / "report.html").read_text()


def test_one_phase_trains_what_the_same_options_do(folders, tmp_path):
    """Also divided into other batches: to the last bit where the batches are the same."""
    options = OPTIONS | {"per_device_train_batch_size": 8, "average_checkpoints": None}
    options |= {"report": False, "mlm_probability": 0.2, "seed": 5, "eval_strategy": "no"}
    given = {"max_steps": 4, "learning_rate": 1e-3, "lr_scheduler_type": "constant"}
    train(folders["large"], output=tmp_path / "one", warmup_steps=0, **options, **given)
    phases = [{"steps": 1, "batch_size": 8}, {"steps": 3, "batch_size": 8}]
    recipe = {"learning_rate": 1e-3, "seed": 5, "mlm_probability": 0.2, "phases": phases}
    del options["seed"], options["mlm_probability"]  # the recipe has them
    found = train(folders["large"], recipe=recipe, output=tmp_path / "two", **options)
    assert same_weights(tmp_path / "one", tmp_path / "two")
    assert found.mfu is not None
    recipe["phases"][0]["mlm_probability"] = 0.4
    train(folders["large"], recipe=recipe, output=tmp_path / "three", **options)
    assert not same_weights(tmp_path / "one", tmp_path / "three")


def test_a_resume_takes_another_later_phase_and_ends_as_if_it_had_always_been_so(folders, tmp_path):
    """At the end of the phase before, where the rate of the next step was computed already."""
    first = {"steps": 2, "batch_size": 4, "learning_rate": 1e-3, "data": folders["large"]}
    last = {"steps": 2, "batch_size": 4, "learning_rate": 5e-4, "data": folders["small"]}
    new = {"steps": 3, "batch_size": 9, "learning_rate_schedule": "1e-3:2e-4"}
    new |= {"data": {folders["small"]: 1, folders["large"]: 1}, "mlm_probability": 0.4}
    options = OPTIONS | {"report": False, "average_checkpoints": None, "eval_strategy": "no"}
    given = {"logging_steps": 1, **options}
    train(recipe={"phases": [first, new]}, output=tmp_path / "one", **given)
    given |= {"output": tmp_path / "two"}
    with pytest.raises(TrainingInterrupted):
        train(recipe={"phases": [first, last]}, callbacks=[At(2, press_ctrl_c)], **given)
    given |= {"resume_from_checkpoint": True, "override": True}
    found = train(recipe={"phases": [first, new]}, **given)
    assert same_weights(tmp_path / "one", tmp_path / "two")
    (change,) = found.changes
    assert (change.name, change.step) == ("phase 2 (phase 2)", 2)
    assert change.after.startswith("3 steps of 9 blocks")


def test_a_resume_takes_a_later_phase_with_the_highest_rate_and_no_longer_blocks(folders, tmp_path):
    phase = {"steps": 1, "batch_size": 4, "learning_rate": 1e-3, "data": folders["large"]}
    options = OPTIONS | {"report": False, "average_checkpoints": None, "eval_strategy": "no"}
    given = {"logging_steps": 1, "output": tmp_path / "out", **options}
    with pytest.raises(TrainingInterrupted):
        train(recipe={"phases": [phase, phase]}, callbacks=[At(1, press_ctrl_c)], **given)
    given |= {"resume_from_checkpoint": True, "override": True}
    with pytest.raises(InputError, match=r"another longest_blocks \(16, now 32\)"):
        train(recipe={"phases": [phase, phase | {"data": folders["long"]}]}, **given)
    higher = phase | {"steps": 2, "learning_rate_schedule": "3e-3:1e-3"}
    del higher["learning_rate"]
    rates = Rates()
    train(recipe={"phases": [phase, higher]}, callbacks=[rates], **given)
    assert rates.seen == pytest.approx([3e-3, 2e-3])


@pytest.mark.parametrize(
    ("phase", "options", "message"),
    [
        ({}, {"max_steps": 5}, r"max_steps \(5\) does not go with the recipe"),
        ({}, {"pack_documents": True}, "pack_documents .* an order of their own"),
        ({"block_size": 24}, {}, "the recipe, phase 1 is for blocks of 24 tokens, and those of"),
        ({"block_size": 5}, {}, "phase 1: .* cannot be cut into blocks of 5: 5 does not divide 16"),
        ({"steps": 2, "warmup_steps": 2}, {}, "rises over 2 steps, and the phase has 2"),
        ({}, {"data": None}, "There is nothing to train on"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(
    folders, tmp_path, phase, options, message
):
    phases = [{"steps": 3, "batch_size": 4, "learning_rate": 1} | phase]
    given = OPTIONS | {"data": folders["large"], "recipe": {"phases": phases}} | options
    with pytest.raises(InputError, match=message):
        train(output=tmp_path / "out", **given)
    assert not list(tmp_path.iterdir())


def test_data_that_no_phase_reads_and_stores_that_are_not_there(folders, tmp_path):
    phase = {"name": "only", "steps": 3, "batch_size": 4, "learning_rate": 1}
    given = {"output": tmp_path / "out", **OPTIONS}
    own = {"phases": [phase | {"data": folders["small"]}]}
    with pytest.raises(InputError, match="All phases of the recipe have data of their own"):
        train(folders["large"], recipe=own, **given)
    with pytest.raises(NotFoundError, match=r"the recipe, phase 1 \(only\): .*nowhere"):
        train(recipe={"phases": [phase | {"data": str(tmp_path / "nowhere")}]}, **given)
    with pytest.raises(InputError, match="there is no option 'modl'; did you mean model"):
        train(folders["large"], recipe={"modl": "x", "phases": [phase]}, **given)
    assert not list(tmp_path.iterdir())


def test_the_base_of_rotary_positions_changes_with_the_phase_also_after_a_stop(folders, tmp_path):
    """The model that is saved has the base of the last phase."""
    shape = OPTIONS["config_overrides"] | {"reference_compile": False}
    options = OPTIONS | {"model_type": "modernbert", "config_overrides": shape, "report": False}
    options |= {"average_checkpoints": None, "per_device_train_batch_size": 4}
    phase = {"steps": 2, "batch_size": 4, "learning_rate": 1e-3}
    given = {"data": folders["large"], **options}
    recipes = {
        base: {"phases": [phase | {"rope_theta": 10_000}, phase | {"rope_theta": base}]}
        for base in (300, 10_000)
    }
    one = train(recipe=recipes[300], output=tmp_path / "one", **given)
    train(recipe=recipes[10_000], output=tmp_path / "other", eval_strategy="no", **given)
    assert not same_weights(tmp_path / "one", tmp_path / "other")
    config = json.loads((tmp_path / "one" / "config.json").read_text())
    parameters = config.get("rope_parameters", {}).get("full_attention", {})
    assert config.get("global_rope_theta", parameters.get("rope_theta")) == 300
    again = {"recipe": recipes[300], "output": tmp_path / "two", **given}
    with pytest.raises(TrainingInterrupted):
        train(callbacks=[At(3, press_ctrl_c)], **again)
    two = train(resume_from_checkpoint=True, **again)
    assert same_weights(tmp_path / "one", tmp_path / "two")
    assert two.after.loss == one.after.loss
    # As `mlmfast evaluate` reads it.
    found = evaluate(tmp_path / "one", f"{folders['large']}", device="cpu")
    assert found.loss == pytest.approx(one.after.loss, rel=KERNELS)
