"""Training on packed documents: the loss and the weights of a training on padded ones."""

from __future__ import annotations

import copy
import json
import logging

import pytest
import torch
import transformers

from mlmfast.data.store.store import open_splits
from mlmfast.errors import InputError
from mlmfast.training.datasets import MaskedBlocks
from mlmfast.training.model.from_scratch import new_model
from mlmfast.training.train import train
from mlmfast.training.trainer.interrupt import TrainingInterrupted
from mlmfast.training.trainer.mlm_trainer import MLMTrainer
from quiet_arguments import quiet_arguments
from stopped_trainings import At, press_ctrl_c, same_weights
from tolerances import KERNELS, LAYERS
from toy import SCRATCH, TINY, make_blocks

STEPS = 4


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """Sentences of 8 to 26 tokens, one per block of 32."""
    root = tmp_path_factory.mktemp("lines")
    return make_blocks(root, count=60, block_size=32, packing="none")


def trained_on(network, blocks, folder, **more):
    """The loss of every step with all documents, and the weights after the last."""
    found = []

    class Noting(MLMTrainer):
        def training_step(self, *args, **kwargs):
            found.append(super().training_step(*args, **kwargs))  # the log rounds it
            return found[-1]

    arguments = quiet_arguments(
        folder,
        max_steps=STEPS,
        per_device_train_batch_size=len(blocks),
        learning_rate=1e-3,
        remove_unused_columns=False,
    )
    trainer = Noting(copy.deepcopy(network), arguments, train_dataset=blocks, **more)
    trainer.train()
    return torch.stack(found), trainer


@pytest.mark.usefixtures("one_thread")
def test_each_document_counts_as_in_the_padded_run(lines, tmp_path):
    store = open_splits(lines)["train"]
    transformers.set_seed(0)
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    network = new_model(store, model_type="roberta", config_overrides=TINY | still)
    padded, of_padded = trained_on(network, MaskedBlocks(store), tmp_path / "padded")
    rows = MaskedBlocks(store, pack_documents=True)
    packed, of_packed = trained_on(network, rows, tmp_path / "packed", documents="separate")
    joined, _ = trained_on(network, rows, tmp_path / "joined", documents="joined")
    assert len(rows) < len(store)
    assert torch.allclose(packed, padded, rtol=KERNELS, atol=KERNELS)
    assert not torch.allclose(joined, padded, rtol=LAYERS, atol=LAYERS)
    weights = dict(of_padded.model.named_parameters())
    for name, weight in of_packed.model.named_parameters():
        assert torch.allclose(weight, weights[name], rtol=LAYERS, atol=LAYERS), name
    assert of_packed.fill_rate == pytest.approx(rows.fill_rate)
    assert of_padded.fill_rate < of_packed.fill_rate


def test_a_training_on_packed_documents_stops_and_resumes(lines, tmp_path, caplog):
    options = SCRATCH | {"num_train_epochs": 2, "pack_documents": True, "tokens_per_batch": 100}
    with caplog.at_level(logging.INFO, logger="mlmfast"):
        whole = train(lines, output=tmp_path / "whole", **options)
    store = open_splits(lines)["train"]
    rows = MaskedBlocks(store, pack_documents=True)
    assert f"packed {len(store)} documents into {len(rows)} rows of 32 tokens" in caplog.text
    assert whole.steps == 2 * -(-len(rows) // 3)
    assert whole.blocks == len(store)
    assert whole.fill_rate == pytest.approx(rows.fill_rate)
    assert f"batches {whole.fill_rate:.1%} full" in str(whole)
    kept = json.loads((tmp_path / "whole" / "mlmfast_training.json").read_text())
    assert kept["fill_rate"] == whole.fill_rate
    stop = At(whole.steps // 2 + 1, press_ctrl_c)
    with pytest.raises(TrainingInterrupted):
        train(lines, output=tmp_path / "cut", callbacks=[stop], **options)
    unpacked = options | {"pack_documents": False}
    with pytest.raises(InputError, match="pack_documents"):
        train(lines, output=tmp_path / "cut", resume_from_checkpoint=True, **unpacked)
    train(lines, output=tmp_path / "cut", resume_from_checkpoint=True, **options)
    assert same_weights(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tokens_per_batch": 100, "per_device_train_batch_size": 4}, "both say how large a batch"),
        ({"tokens_per_batch": 31}, "less than one block of 32 tokens"),
        ({"tokens_per_batch": 0}, "tokens_per_batch must be between 1"),
        ({"pack_documents": True, "group_by_length": True}, "all of one length"),
        ({"pack_documents": True, "documents": "joined"}, "nothing to do with each other"),
    ],
)
def test_batches_that_cannot_be_are_refused(lines, tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        train(lines, output=tmp_path / "out", **SCRATCH, **options)


def test_blocks_that_are_full_already_are_not_packed(toy_blocks, tmp_path):
    with pytest.raises(InputError, match="there is nothing to pack"):
        train(toy_blocks, output=tmp_path / "out", **SCRATCH, pack_documents=True)


def test_a_batch_may_be_given_in_tokens(toy_blocks, tmp_path):
    whole = train(
        toy_blocks, output=tmp_path / "out", **SCRATCH, num_train_epochs=1, tokens_per_batch=200,
        eval_strategy="no",
    )  # fmt: skip
    assert whole.steps == -(-len(open_splits(toy_blocks)["train"]) // 12)
    assert whole.fill_rate == 1.0
