"""What one training sets is gone when the next begins: precision, switches of torch, hooks."""

from __future__ import annotations

import copy
import os

import pytest
import torch
import transformers
from accelerate import Accelerator
from accelerate.state import AcceleratorState

import mlmfast
from mlmfast.data.store.store import open_splits
from mlmfast.training.datasets import EvaluationBlocks, MaskedBlocks
from mlmfast.training.model.from_scratch import new_model
from mlmfast.training.model.masked_head import LAST_LAYER_TOO
from mlmfast.training.process import launched
from mlmfast.training.process.state import ProcessState
from mlmfast.training.trainer.mlm_trainer import MLMTrainer
from quiet_arguments import quiet_arguments
from toy import SCRATCH, TINY


@pytest.fixture(autouse=True)
def _nothing_outlives():
    """Every test here ends as it began, but for what `TrainingArguments` write of themselves."""
    before = ProcessState.current()
    yield
    after = ProcessState.current()
    assert after.torch_settings == before.torch_settings
    before.install()


@pytest.fixture(scope="module")
def splits(toy_blocks):
    return open_splits(toy_blocks)


@pytest.fixture
def network(splits):
    transformers.set_seed(0)
    return new_model(splits["train"], model_type="roberta", config_overrides=TINY)


def arguments(folder, **more):
    return quiet_arguments(folder, max_steps=1, **more)


def listening(model):
    """A list that the dtype of each product of the model's first layer is added to."""
    dtypes = []
    model.roberta.encoder.layer[0].intermediate.dense.register_forward_hook(
        lambda _module, _args, output: dtypes.append(output.dtype)
    )
    return dtypes


def heard(dtypes):
    """The dtypes since the last call; those of the trial in fp32 came first."""
    found, dtypes[:] = set(dtypes[-2:]), []
    return found


@pytest.mark.parametrize("order", [("bf16", "fp32", "bf16"), ("fp32", "bf16", "fp32")])
@pytest.mark.parametrize("made", ["one after the other", "at once"])
def test_one_model_trained_by_trainers_of_both_precisions(splits, network, tmp_path, order, made):
    def trainer(precision):
        return MLMTrainer(
            network,
            arguments(tmp_path, bf16=precision == "bf16"),
            train_dataset=MaskedBlocks(splits["train"]),
            eval_dataset=EvaluationBlocks(splits["test"]),
        )

    dtypes = listening(network)
    trainers = list(map(trainer, order)) if made == "at once" else [None] * len(order)
    for precision, ready in zip(order, trainers, strict=True):
        expected = {torch.bfloat16 if precision == "bf16" else torch.float32}
        one = ready or trainer(precision)
        one.train()
        assert heard(dtypes) == expected
        assert one._head.scope == LAST_LAYER_TOO  # whatever it computes in
        one.evaluate()
        assert heard(dtypes) == expected
        network(**MaskedBlocks(splits["train"]).__getitems__([0]))
        assert heard(dtypes) == {torch.float32}
        marks = {"forward", "_original_forward", "_is_accelerate_prepared"}
        assert not marks & vars(network).keys()
        copy.deepcopy(network)  # accelerate's wrapper cannot be copied


def test_the_trainers_own_evaluation_computes_in_its_precision_too(splits, network, tmp_path):
    rows = list(map(MaskedBlocks(splits["test"]).__getitem__, range(4)))
    dtypes = listening(network)
    trainer = MLMTrainer(
        network,
        arguments(tmp_path, bf16=True),
        train_dataset=MaskedBlocks(splits["train"]),
        eval_dataset=rows,
    )
    for _ in range(2):
        trainer.evaluate()
        assert heard(dtypes) == {torch.bfloat16}
        trainer.train()
        trainer.predict(rows)
        assert heard(dtypes) == {torch.bfloat16}


def test_a_model_that_another_trainer_left_in_bf16_is_measured_and_trained_in_fp32(
    splits, network, tmp_path
):
    expected = mlmfast.evaluate(network, splits["test"], device="cpu")
    rows = list(map(MaskedBlocks(splits["train"]).__getitem__, range(8)))
    still = arguments(tmp_path, bf16=True, learning_rate=0.0)
    transformers.Trainer(network, still, train_dataset=rows).train()
    dtypes = listening(network)
    network(input_ids=rows[0]["input_ids"][None])
    assert heard(dtypes) == {torch.bfloat16}
    assert mlmfast.evaluate(network, splits["test"], device="cpu").loss == expected.loss
    assert heard(dtypes) == {torch.float32}
    blocks = MaskedBlocks(splits["train"])
    MLMTrainer(network, arguments(tmp_path), train_dataset=blocks).train()
    assert heard(dtypes) == {torch.float32}


def test_train_leaves_the_process_as_it_was(toy_blocks, tmp_path):
    """In bf16, then in fp32, between them an Accelerator of the user's own."""
    before = ProcessState.current()
    for precision in ("bf16", "fp32"):
        found = mlmfast.train(
            toy_blocks,
            output=tmp_path / precision,
            max_steps=1,
            eval_strategy="no",
            full_determinism=precision == "bf16",
            **SCRATCH | {"precision": precision},
        )
        assert found.precision == precision
        after = ProcessState.current()
        assert (after.environment, after.torch_settings) == (
            before.environment,
            before.torch_settings,
        )
        assert AcceleratorState._shared_state == {} or before.shared[1] != {}
        AcceleratorState._reset_state()
        assert Accelerator(cpu=True, mixed_precision="bf16").mixed_precision == "bf16"
        AcceleratorState._reset_state()
        before.install()


def test_what_the_launcher_says_is_obeyed(splits, network, tmp_path, monkeypatch):
    monkeypatch.setattr(launched, "LAUNCHED", {"ACCELERATE_MIXED_PRECISION": "bf16"})
    monkeypatch.setitem(os.environ, "ACCELERATE_MIXED_PRECISION", "no")
    trainer = MLMTrainer(network, arguments(tmp_path), train_dataset=MaskedBlocks(splits["train"]))
    assert trainer.accelerator.mixed_precision == "bf16"


def test_hooks_and_checkpointing_come_off_the_model(splits, network, tmp_path):
    blocks = MaskedBlocks(splits["train"])
    options = {"torch_compile": True, "torch_compile_backend": "eager"}
    for given in (options, {"gradient_checkpointing": True}):
        MLMTrainer(network, arguments(tmp_path, **given), train_dataset=blocks).train()
        hooks = [
            hook
            for module in network.modules()
            for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
        ]
        assert not hooks
        assert not network.is_gradient_checkpointing
