"""MLMTrainer beside transformers.Trainer: the same weights, the same masked batches."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers

from mlmfast.data.store.store import open_splits
from mlmfast.training.datasets import MaskedBlocks
from mlmfast.training.model.from_scratch import new_model
from mlmfast.training.model.masked_head import LAST_LAYER_TOO, MASKED_ROWS, MaskedHead
from mlmfast.training.model.masked_rows import find_positions
from mlmfast.training.trainer.mlm_trainer import MLMTrainer
from quiet_arguments import quiet_arguments
from tolerances import KERNELS, LAYERS
from toy import TINY

STEPS = 50


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def blocks(toy_blocks):
    return open_splits(toy_blocks)["train"]


@pytest.fixture(scope="module")
def network(blocks):
    transformers.set_seed(0)
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return new_model(blocks, model_type="roberta", config_overrides=TINY | still)


def losses(trainer_class, network, blocks, folder, steps=STEPS, **more):
    """The loss of every step, and the weights after the last."""
    arguments = quiet_arguments(
        folder,
        max_steps=steps,
        per_device_train_batch_size=8,
        learning_rate=1e-3,
        remove_unused_columns=False,
        **more,
    )
    # Rows, masked before: both trainers deal them by the Trainer's own sampler.
    masked = MaskedBlocks(blocks)
    rows = [masked[number] for number in range(len(masked))]
    found = []

    class Noting(trainer_class):
        def training_step(self, *args, **kwargs):
            found.append(super().training_step(*args, **kwargs))  # the log rounds it
            return found[-1]

    trainer = Noting(
        copy.deepcopy(network),
        arguments,
        transformers.default_data_collator,
        train_dataset=rows,
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return torch.stack(found), trainer


@pytest.fixture(scope="module")
def theirs(network, blocks, tmp_path_factory):
    return losses(transformers.Trainer, network, blocks, tmp_path_factory.mktemp("theirs"))


def test_fifty_steps_have_the_losses_and_weights_of_the_trainer(theirs, network, blocks, tmp_path):
    expected, their_trainer = theirs
    found, trainer = losses(MLMTrainer, network, blocks, tmp_path)
    assert trainer._head.scope == LAST_LAYER_TOO
    assert len(found) == STEPS
    assert found[-1] < found[0] - 0.5  # it learns
    assert torch.allclose(found, expected, rtol=0, atol=KERNELS)
    for name, weight in their_trainer.model.named_parameters():
        assert torch.allclose(trainer.model.get_parameter(name), weight, atol=2 * LAYERS), name


def test_a_compiled_model_too(theirs, network, blocks, tmp_path):
    found, trainer = losses(
        MLMTrainer, network, blocks, tmp_path, torch_compile=True, torch_compile_backend="eager"
    )
    assert trainer._head.scope == LAST_LAYER_TOO
    assert torch.allclose(found, theirs[0], rtol=0, atol=KERNELS)


def test_checkpointed_layers_too(theirs, network, blocks, tmp_path):
    found, trainer = losses(MLMTrainer, network, blocks, tmp_path, gradient_checkpointing=True)
    assert trainer._head.scope in (MASKED_ROWS, LAST_LAYER_TOO)  # transformers 5, 4
    assert torch.allclose(found, theirs[0], rtol=0, atol=KERNELS)


def test_adapters_of_peft_too(network, blocks, tmp_path):
    peft = pytest.importorskip("peft")
    adapters = peft.LoraConfig(target_modules=["query", "value"], r=4, init_lora_weights=False)
    adapted = peft.get_peft_model(copy.deepcopy(network), adapters)
    expected, _ = losses(transformers.Trainer, adapted, blocks, tmp_path / "theirs", steps=10)
    found, trainer = losses(MLMTrainer, adapted, blocks, tmp_path / "ours", steps=10)
    assert trainer._head.scope == LAST_LAYER_TOO
    assert torch.allclose(found, expected, rtol=0, atol=KERNELS)


def test_under_ddp_the_rows_are_those_of_the_wrapped_model(network, blocks, tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1
    )
    try:
        model = copy.deepcopy(network)
        wrapped = torch.nn.parallel.DistributedDataParallel(model)
        batch = MaskedBlocks(blocks).__getitems__(range(6))
        labels = batch.pop("labels")
        positions = find_positions(labels)
        head = MaskedHead(model)
        found = head(wrapped, batch, labels, positions)
        assert len(found.logits) == (labels != -100).sum()
        assert torch.equal(found.logits, head(model, batch, labels).logits)
    finally:
        torch.distributed.destroy_process_group()
