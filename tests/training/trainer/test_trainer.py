"""MLMTrainer: the loss, the epochs' masks, evaluation."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers

from mlmfast.data.store.store import open_splits
from mlmfast.training.datasets import EvaluationBlocks, MaskedBlocks
from mlmfast.training.evaluation.evaluate import evaluate
from mlmfast.training.model.from_scratch import new_model
from mlmfast.training.model.loss import masked_loss_sum, per_block_metrics
from mlmfast.training.model.masked_rows import at_masks
from mlmfast.training.options.arguments import build_arguments
from mlmfast.training.trainer.mlm_trainer import MLMTrainer
from tolerances import KERNELS, LAYERS, SUMS
from toy import TINY


@pytest.fixture(scope="module")
def splits(toy_blocks):
    return open_splits(toy_blocks)


@pytest.fixture(scope="module")
def network(splits):
    transformers.set_seed(0)
    quiet = TINY | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return new_model(splits["train"], model_type="roberta", config_overrides=quiet)


class Recorder(MaskedBlocks):
    """Remembers the epoch of each block that is read in this process."""

    def __init__(self, store, **options):
        super().__init__(store, **options)
        self.read = []

    def __getitems__(self, indices):
        self.read += [(self.epoch, int(index)) for index in indices]
        return super().__getitems__(indices)


def make_trainer(network, splits, folder, *, blocks=None, measured=True, **given):
    given = {"use_cpu": True, "dataloader_pin_memory": False, "save_strategy": "no"} | given
    arguments = build_arguments(
        folder, given | ({} if measured else {"eval_strategy": "no"}), remove_unused_columns=True
    )
    trainer = MLMTrainer(
        copy.deepcopy(network),
        arguments,
        train_dataset=blocks or MaskedBlocks(splits["train"]),
        eval_dataset=EvaluationBlocks(splits["test"]) if measured else None,
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.remove_callback(transformers.trainer_callback.ProgressCallback)
    return trainer


def test_the_loss_is_the_models_own(network, splits):
    batch = MaskedBlocks(splits["train"]).__getitems__(range(8))
    with torch.no_grad():
        output = network(**batch)
    masked = (batch["labels"] != -100).sum()
    mine = masked_loss_sum(at_masks(output.logits, batch["labels"])) / masked
    assert torch.allclose(mine, output.loss, atol=KERNELS)


def test_a_batch_without_masks_has_loss_zero_and_a_gradient(network, splits, tmp_path):
    batch = MaskedBlocks(splits["train"], mlm_probability=0.0).__getitems__(range(2))
    trainer = make_trainer(network, splits, tmp_path)
    loss = trainer.compute_loss(trainer.model, batch)
    assert loss.item() == 0.0
    loss.backward()
    assert all(
        torch.isfinite(each.grad).all()
        for each in trainer.model.parameters()
        if each.grad is not None
    )


def test_training_without_any_mask_changes_no_weight_into_nan(network, splits, tmp_path):
    blocks = MaskedBlocks(splits["train"], mlm_probability=0.0)
    trainer = make_trainer(network, splits, tmp_path, blocks=blocks, measured=False, max_steps=2)
    assert trainer.train().training_loss == 0.0
    assert all(torch.isfinite(each).all() for each in trainer.model.parameters())


def test_accumulated_batches_are_one_large_batch(network, splits, tmp_path):
    """Batches have different numbers of masks: a mean of their means would be another gradient."""
    weights = []
    for batch, accumulated in ((8, 1), (2, 4), (1, 8)):
        trainer = make_trainer(
            network,
            splits,
            tmp_path / str(batch),
            measured=False,
            max_steps=3,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulated,
            learning_rate=1e-2,
            optim="sgd",
        )
        found = trainer.train()
        flat = torch.cat([each.detach().flatten() for each in trainer.model.parameters()])
        weights.append((found.training_loss, flat))
    start = torch.cat([each.detach().flatten() for each in network.parameters()])
    moved = (weights[0][1] - start).norm()
    for loss, flat in weights[1:]:
        assert loss == pytest.approx(weights[0][0], rel=LAYERS)
        # Sums in another order, relative to how far the weights moved.
        assert (flat - weights[0][1]).norm() < 1e-3 * moved


def test_every_epoch_reads_every_block_once_under_its_own_masks(network, splits, tmp_path):
    blocks = Recorder(splits["train"])
    trainer = make_trainer(network, splits, tmp_path, blocks=blocks, measured=False)
    trainer.train()
    numbers = range(len(splits["train"]))
    assert sorted(blocks.read) == [(epoch, number) for epoch in range(3) for number in numbers]
    orders = [[number for at, number in blocks.read if at == epoch] for epoch in range(3)]
    assert orders[0] != orders[1]


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_change_nothing(network, splits, tmp_path, persistent):
    losses = []
    for workers in (0, 2):
        trainer = make_trainer(
            network,
            splits,
            tmp_path / str(workers),
            measured=False,
            num_train_epochs=2,
            per_device_train_batch_size=16,
            dataloader_num_workers=workers,
            dataloader_persistent_workers=persistent and workers > 0,
        )
        trainer.train()
        losses.append([each.detach().clone() for each in trainer.model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*losses, strict=True))


def test_evaluation_is_the_same_each_time_and_for_any_batch_size(network, splits, tmp_path):
    trainer = make_trainer(network, splits, tmp_path, per_device_eval_batch_size=3)
    first, second = trainer.evaluate(), trainer.evaluate()
    assert first["eval_loss"] == second["eval_loss"]
    alone = evaluate(network, splits["test"], batch_size=16, documents="joined", device="cpu")
    assert first["eval_loss"] == pytest.approx(alone.loss, rel=SUMS)
    assert first["eval_perplexity"] == pytest.approx(alone.perplexity, rel=KERNELS)
    assert first["eval_top1"] == pytest.approx(alone.top1)
    assert first["eval_masked_tokens"] == alone.masked_tokens


def test_an_ordinary_data_set_and_collator_work_too(network, splits, tmp_path):
    tokenizer = transformers.AutoTokenizer.from_pretrained(splits["train"].path)
    collator = transformers.DataCollatorForLanguageModeling(tokenizer)
    arguments = build_arguments(
        tmp_path, {"max_steps": 2, "use_cpu": True, "dataloader_pin_memory": False}
    )
    trainer = MLMTrainer(
        copy.deepcopy(network),
        arguments,
        collator,
        splits["train"].to_datasets(),
        splits["test"].to_datasets(),
    )
    assert trainer.train().training_loss > 0
    assert trainer.evaluate()["eval_loss"] > 0


def test_fp32_after_bf16_is_fp32(network, splits, tmp_path):
    make_trainer(network, splits, tmp_path, bf16=True)
    plain = make_trainer(network, splits, tmp_path)
    assert plain.accelerator.mixed_precision == "no"


def test_label_smoothing_is_applied(network, splits, tmp_path):
    batch = MaskedBlocks(splits["train"]).__getitems__(range(4))
    plain = make_trainer(network, splits, tmp_path)
    smooth = make_trainer(network, splits, tmp_path, label_smoothing_factor=0.5)
    plain.model.eval(), smooth.model.eval()
    assert plain.compute_loss(plain.model, batch) != smooth.compute_loss(smooth.model, batch)


def test_row_counts_by_hand():
    logits = torch.full((2, 2, 7), -9.0)
    logits[0, 0, 3] = 9.0  # the best answer, and right
    logits[1, 1, [0, 1, 2, 4, 5]] = torch.tensor([9.0, 8.0, 7.0, 6.0, 5.0])
    labels = torch.tensor([[3, -100], [-100, 5]])
    counts = per_block_metrics(at_masks(logits, labels), 2)
    assert counts[:, 1].tolist() == [1, 0]  # only the first is the best
    assert counts[:, 2].tolist() == [1, 1]  # the second is among the best five
    assert counts[:, 3].tolist() == [1, 1]
    expected = torch.nn.functional.cross_entropy(logits[1, 1], torch.tensor(5))
    assert counts[1, 0] == pytest.approx(expected.item())
    labels[1, 1] = 6  # not among five
    assert per_block_metrics(at_masks(logits, labels), 2)[1, 2] == 0
