"""MLMTrainer with a loss, a data set or a collator of the user's own."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers

from mlmfast.data.store.store import open_splits
from mlmfast.training.datasets import EvaluationBlocks, MaskedBlocks
from mlmfast.training.model.from_scratch import new_model
from mlmfast.training.trainer.mlm_trainer import MLMTrainer
from quiet_arguments import quiet_arguments
from tolerances import KERNELS, SUMS
from toy import TINY


@pytest.fixture(scope="module")
def splits(toy_blocks):
    return open_splits(toy_blocks)


@pytest.fixture(scope="module")
def network(splits):
    transformers.set_seed(0)
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return new_model(splits["train"], model_type="roberta", config_overrides=TINY | still)


def arguments(folder, **more):
    return quiet_arguments(folder, bf16=False, max_steps=2, learning_rate=1e-2, optim="sgd", **more)


def weights(trainer):
    return torch.cat([each.detach().flatten() for each in trainer.model.parameters()])


class OwnLoss(MLMTrainer):
    """As in the Trainer's own guide: the model's loss."""

    def compute_loss(self, model, inputs, return_outputs=False, **_kwargs):
        outputs = model(**inputs)
        return (outputs.loss, outputs) if return_outputs else outputs.loss


def test_a_compute_loss_that_calls_the_model_trains_as_ours_does(network, splits, tmp_path):
    found = []
    for kind in (MLMTrainer, OwnLoss):
        trainer = kind(
            copy.deepcopy(network),
            arguments(tmp_path),
            train_dataset=MaskedBlocks(splits["train"]),
            eval_dataset=EvaluationBlocks(splits["test"]),
        )
        trainer.train()
        found.append(
            (weights(trainer), trainer.evaluate()["eval_loss"], trainer.throughput.block_flops)
        )
    assert torch.allclose(found[0][0], found[1][0], atol=SUMS)
    assert found[0][1] == pytest.approx(found[1][1], abs=KERNELS)
    # All logits are computed for it, and counted.
    assert found[1][2].body > found[0][2].body


@pytest.mark.parametrize("accepts", [True, False])
def test_the_loss_of_accumulated_batches_is_divided_as_the_trainer_does(
    network, splits, tmp_path, accepts
):
    """By whom, the Trainer asks `model_accepts_loss_kwargs`, which is the user's to set."""
    rows = list(map(MaskedBlocks(splits["train"]).__getitem__, range(16)))

    class Plain(transformers.Trainer):
        compute_loss = OwnLoss.compute_loss

    found = []
    for kind in (Plain, OwnLoss):
        trainer = kind(
            copy.deepcopy(network),
            arguments(tmp_path, gradient_accumulation_steps=2, per_device_train_batch_size=4),
            transformers.default_data_collator,
            train_dataset=rows,
        )
        trainer.model_accepts_loss_kwargs = accepts
        trainer.train()
        found.append(weights(trainer))
    assert torch.allclose(*found, atol=SUMS)


def test_a_loss_that_changes_the_labels_first_is_ours_of_those_labels(network, splits, tmp_path):
    class Halves(MLMTrainer):
        def compute_loss(self, model, inputs, *args, **kwargs):
            inputs["labels"][:, ::2] = -100
            asked.append(int((inputs["labels"] != -100).sum()))
            kwargs["num_items_in_batch"] = asked[-1]
            return super().compute_loss(model, inputs, *args, **kwargs)

    asked, rows = [], []
    model = copy.deepcopy(network)
    model.get_output_embeddings().register_forward_hook(
        lambda _module, args, _output: rows.append(args[0].shape[:-1].numel())
    )
    Halves(model, arguments(tmp_path), train_dataset=MaskedBlocks(splits["train"])).train()
    assert rows[-1] == asked[-1]


def test_a_loss_function_gets_the_logits_of_all_rows(network, splits, tmp_path):
    shapes = []

    def loss_of(outputs, labels, num_items_in_batch=None):
        shapes.append((outputs.logits.shape[:2], labels.shape))
        logits = outputs.logits.flatten(0, 1)
        return torch.nn.functional.cross_entropy(logits, labels.flatten(), reduction="sum") / (
            num_items_in_batch
        )

    found = []
    for function in (None, loss_of):
        trainer = MLMTrainer(
            copy.deepcopy(network),
            arguments(tmp_path),
            train_dataset=MaskedBlocks(splits["train"]),
            compute_loss_func=function,
        )
        trainer.train()
        found.append(weights(trainer))
    assert torch.allclose(*found, atol=SUMS)
    assert all(logits == labels for logits, labels in shapes)


@pytest.mark.parametrize("theirs", ["train", "test"])
def test_blocks_and_rows_of_ones_own_go_together(network, splits, tmp_path, theirs):
    """Either is trained on, and the other measured on, with a collator for the rows alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(splits["train"].path)
    own = splits[theirs].to_datasets()
    given = {
        "train_dataset": own if theirs == "train" else MaskedBlocks(splits["train"]),
        "eval_dataset": own if theirs == "test" else EvaluationBlocks(splits["test"]),
    }
    trainer = MLMTrainer(
        copy.deepcopy(network),
        arguments(tmp_path),
        transformers.DataCollatorForLanguageModeling(tokenizer),
        **given,
    )
    trainer.train()
    measured = trainer.evaluate()
    assert ("eval_top1" in measured) is (theirs == "train")
    # Near log(300 tokens), 5.7, as it learned next to nothing; the masks are drawn by chance.
    assert measured["eval_loss"] == pytest.approx(5.6, abs=0.3)
    assert trainer.predict(given["eval_dataset"]).predictions.shape[0] == len(given["eval_dataset"])


def test_a_collator_that_nothing_goes_through_is_named(network, splits, tmp_path, caplog):
    MLMTrainer(
        network,
        arguments(tmp_path),
        transformers.default_data_collator,
        train_dataset=MaskedBlocks(splits["train"]),
    )
    assert "data_collator=function is not used: blocks come in whole batches" in caplog.text


def test_the_arguments_stay_the_users(network, splits, tmp_path):
    given = arguments(tmp_path)
    before = given.to_dict()
    MLMTrainer(network, given, train_dataset=MaskedBlocks(splits["train"])).train()
    assert given.to_dict() == before
