"""Trainings that average their weights: what is averaged, measured, saved and resumed."""

from __future__ import annotations

import json

import pytest
import torch
import transformers

import processes_at_work as work
from launching import launch
from mlmfast.data.store.store import open_splits
from mlmfast.errors import InputError
from mlmfast.training.datasets import EvaluationBlocks, MaskedBlocks
from mlmfast.training.evaluation.evaluate import evaluate
from mlmfast.training.train import train
from mlmfast.training.trainer.interrupt import TrainingInterrupted
from mlmfast.training.trainer.mlm_trainer import MLMTrainer
from quiet_arguments import quiet_arguments
from stopped_trainings import At, furthest, press_ctrl_c, same_weights, weights
from tolerances import KERNELS, SUMS
from toy import SCRATCH

pytestmark = pytest.mark.usefixtures("one_thread")

OPTIONS = SCRATCH | {
    "num_train_epochs": 2,
    "per_device_train_batch_size": 12,  # six steps an epoch
    "save_strategy": "steps",
    "save_steps": 4,  # checkpoints at 4, 8 and 12
    "eval_strategy": "steps",
    "eval_steps": 6,
}
KINDS = {"ema": "ema:0.8", "last": "last:2"}


class Keeps(transformers.TrainerCallback):
    """Keeps the weights after each step, as a model of transformers saves them."""

    def __init__(self):
        self.steps = {}

    def on_step_end(self, _args, state, _control, model=None, **_kwargs):
        found = {name: each.detach().clone() for name, each in model.named_parameters()}
        self.steps[state.global_step] = found


@pytest.fixture(scope="module")
def plain(toy_blocks, tmp_path_factory):
    """A training without an average, and its weights after each step."""
    keeps = Keeps()
    output = tmp_path_factory.mktemp("plain") / "out"
    result = train(toy_blocks, output=output, callbacks=[keeps], **OPTIONS)
    return result, keeps.steps


@pytest.fixture(scope="module")
def averaged(toy_blocks, tmp_path_factory):
    """A training of each kind that nothing interrupts."""
    folder = tmp_path_factory.mktemp("averaged")
    return {
        kind: train(
            toy_blocks,
            output=folder / kind,
            average_checkpoints=given,
            **OPTIONS | {"report": kind == "ema"},
        )
        for kind, given in KINDS.items()
    }


def test_the_output_has_the_average_of_a_plain_computation(plain, averaged):
    _, steps = plain
    ema = {name: each.double() for name, each in steps[1].items()}
    for step in range(2, 13):
        ema = {name: 0.8 * each + 0.2 * steps[step][name] for name, each in ema.items()}
    mean = {name: (steps[8][name].double() + steps[12][name]) / 2 for name in ema}
    for kind, expected in (("ema", ema), ("last", mean)):
        found = weights(averaged[kind].output)
        assert found.keys() <= expected.keys()
        for name, each in found.items():
            torch.testing.assert_close(each.double(), expected[name], rtol=1e-5, atol=1e-6)
    assert averaged["last"].average == "the mean of the weights at steps 8, 12"


def test_the_steps_do_not_depend_on_it_and_the_last_weights_are_beside_it(plain, averaged):
    result, _ = plain
    for each in averaged.values():
        assert same_weights(result.output, each.output / "last")
        assert not same_weights(result.output, each.output)
        assert each.last_weights.loss == result.after.loss
        assert each.train_loss == result.train_loss


def test_both_are_measured_and_both_folders_open(averaged, toy_blocks):
    for each in averaged.values():
        for folder, found in ((each.output, each.after), (each.output / "last", each.last_weights)):
            again = evaluate(folder, toy_blocks / "test", device="cpu", precision="fp32")
            assert again.loss == pytest.approx(found.loss, rel=KERNELS)
        assert each.after.loss != each.last_weights.loss
        assert f"last weights: {each.last_weights}" in str(each)


def test_the_documents_say_it(averaged):
    for each in averaged.values():
        card = (each.output / "README.md").read_text()
        assert f"The model has {each.average}; those of the last step are in `last/`." in card
        assert "| | before | last weights | after |" in card
        summary = json.loads((each.output / "mlmfast_training.json").read_text())
        assert summary["average"] == each.average
        assert summary["last_weights"]["loss"] == each.last_weights.loss
    page = (averaged["ema"].output / "report.html").read_text()
    assert averaged["ema"].average in page
    assert "averaged weights" in page


@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_changes_no_bit(averaged, toy_blocks, tmp_path, kind):
    options = OPTIONS | {"average_checkpoints": KINDS[kind]}
    (killed,) = launch(1, work.train_and_die, toy_blocks, tmp_path / "out", options, 10)
    assert killed.status == -9
    found = train(toy_blocks, output=tmp_path / "out", resume_from_checkpoint=True, **options)
    assert same_weights(averaged[kind].output, found.output)
    assert same_weights(averaged[kind].output / "last", found.output / "last")
    assert found.after.loss == averaged[kind].after.loss


def test_checkpoints_of_interrupts_change_no_bit(averaged, toy_blocks, tmp_path):
    """Between two checkpoints, and twice."""
    options = OPTIONS | {"average_checkpoints": KINDS["last"], "output": tmp_path / "out"}
    for step in (5, 9):
        with pytest.raises(TrainingInterrupted):
            train(
                toy_blocks,
                callbacks=[At(step, press_ctrl_c)],
                resume_from_checkpoint="auto",
                **options,
            )
    found = train(toy_blocks, resume_from_checkpoint=True, **options)
    assert same_weights(averaged["last"].output, found.output)


def test_a_stop_while_the_average_is_measured_leaves_the_weights_of_the_step(
    averaged, toy_blocks, tmp_path
):
    class Stops(transformers.TrainerCallback):
        def on_prediction_step(self, _args, state, _control, **_kwargs):
            self.seen = getattr(self, "seen", 0) + (state.global_step == 6)
            if self.seen == self.batches + 1:
                press_ctrl_c()

    stops = Stops()
    test = open_splits(toy_blocks)["test"]
    stops.batches = -(-len(test) // 8)
    options = OPTIONS | {"average_checkpoints": "ema:0.8", "output": tmp_path / "out"}
    with pytest.raises(TrainingInterrupted):
        train(toy_blocks, callbacks=[stops], **options)
    found = train(toy_blocks, resume_from_checkpoint=True, **options)
    assert same_weights(averaged["ema"].output, found.output)
    assert same_weights(averaged["ema"].output / "last", found.output / "last")


def test_a_store_that_is_named_like_the_average_is_refused(toy_blocks, tmp_path):
    stores = {"averaged": toy_blocks / "test", "other": toy_blocks / "test"}
    options = OPTIONS | {"output": tmp_path / "out", "average_checkpoints": "ema:0.8"}
    with pytest.raises(InputError, match=r"is named 'averaged'.* give it another name"):
        train(toy_blocks, eval_data=stores, **options)


def test_another_average_is_a_change_that_override_accepts(toy_blocks, tmp_path):
    options = OPTIONS | {"output": tmp_path / "out", "eval_strategy": "no"}
    with pytest.raises(TrainingInterrupted):
        train(toy_blocks, callbacks=[At(9, press_ctrl_c)], average_checkpoints="last:2", **options)
    again = options | {"resume_from_checkpoint": True, "average_checkpoints": "last:3"}
    with pytest.raises(InputError, match=r"average_checkpoints \(last:2, now last:3\)"):
        train(toy_blocks, **again)
    found = train(toy_blocks, override=True, **again)
    assert found.average == "the mean of the weights at steps 4, 8, 12"


def test_checkpoints_of_epochs_count_at_their_ends_only(toy_blocks, tmp_path):
    options = OPTIONS | {"output": tmp_path / "out", "eval_strategy": "no"}
    options |= {"save_strategy": "epoch", "average_checkpoints": "last:5"}
    with pytest.raises(TrainingInterrupted):
        train(toy_blocks, callbacks=[At(8, press_ctrl_c)], **options)
    found = train(toy_blocks, resume_from_checkpoint=True, **options)
    assert found.average == "the mean of the weights at steps 6, 12"


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_average_what_one_does(toy_blocks, tmp_path, kind):
    options = work.WITHOUT_DROPOUT | {"average_checkpoints": KINDS[kind], "max_steps": 4}
    options |= {"save_strategy": "steps", "save_steps": 2}
    one, two = ({"per_device_train_batch_size": size} for size in (12, 6))
    alone = work.train_on(toy_blocks, tmp_path / "one", options | one)
    pair = launch(2, work.train_on, toy_blocks, tmp_path / "two", options | two)
    assert [each.status for each in pair] == [0, 0], pair
    for each in pair:
        assert each.value[3]["loss"] == pytest.approx(alone[3]["loss"], rel=SUMS)
    assert pair[0].value[3]["loss"] == pair[1].value[3]["loss"]
    for folder in ("", "last"):
        assert furthest(tmp_path / "one" / folder, tmp_path / "two" / folder) < 100 * SUMS


def test_a_script_saves_it_and_goes_on_with_its_own_weights(toy_blocks, tmp_path):
    """In bf16, with tied and with frozen weights."""
    from mlmfast.training.model.from_scratch import new_model

    splits = open_splits(toy_blocks)
    transformers.set_seed(0)
    model = new_model(splits["train"], model_type="roberta", config_overrides=work.STILL)
    model = model.to(torch.bfloat16)
    frozen = model.roberta.encoder.layer[0].requires_grad_(False)
    before = {name: each.clone() for name, each in frozen.state_dict().items()}
    keeps = Keeps()
    trainer = MLMTrainer(
        model,
        quiet_arguments(tmp_path, max_steps=3, learning_rate=1e-2, bf16=True),
        train_dataset=MaskedBlocks(splits["train"]),
        eval_dataset=EvaluationBlocks(splits["test"], limit=4),
        average_checkpoints="ema:0.5",
        callbacks=[keeps],
    )
    trainer.train()
    metrics = trainer.evaluate()
    assert metrics["eval_averaged_loss"] != metrics["eval_loss"]
    with trainer.averaged_weights() as about:
        trainer.save_model(str(tmp_path / "averaged"))
    assert about == trainer.describe_average()
    found = weights(tmp_path / "averaged")
    for name, each in found.items():
        one, two, three = (keeps.steps[step][name].float() for step in (1, 2, 3))
        expected = 0.25 * one + 0.25 * two + 0.5 * three
        assert each.dtype == torch.bfloat16
        torch.testing.assert_close(each.float(), expected, rtol=2**-8, atol=1e-5)
    for name, each in model.named_parameters():
        assert torch.equal(each, keeps.steps[3][name])
    for name, each in before.items():
        assert torch.equal(found[f"roberta.encoder.layer.0.{name}"], each)
