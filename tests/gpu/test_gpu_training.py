"""Training on an NVIDIA GPU: the losses of the CPU on every road, and no step that waits."""

from __future__ import annotations

import math
import re

import pytest

from gpu import DEVICE, DRY_RUN, GPU
from mlmfast.errors import DeviceMemoryError
from tolerances import LAYERS
from toy import TINY, make_blocks

pytestmark = GPU

STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
NEW = {"from_scratch": True, "model_type": "roberta", "config_overrides": TINY | STILL}
QUIET = {"report": False, "quiet": True, "learning_rate": 1e-3, "use_cpu": DRY_RUN}
SHORT = {"max_steps": 6, "per_device_train_batch_size": 8, "eval_strategy": "no"}
COMPILED = {"torch_compile": True, "torch_compile_backend": "eager" if DRY_RUN else "inductor"}


@pytest.fixture(scope="module")
def checkpoint(toy_blocks, tmp_path_factory):
    """A model of random weights without dropout, so that two devices compute the same."""
    from mlmfast.training.train import train

    folder = tmp_path_factory.mktemp("checkpoint") / "model"
    options = QUIET | SHORT | {"max_steps": 1, "use_cpu": True, "precision": "fp32"}
    return train(toy_blocks, output=folder, **NEW, **options).output


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    """Blocks of one document each, which can be packed."""
    root = tmp_path_factory.mktemp("documents")
    return make_blocks(root, block_size=32, packing="none")


def test_a_training_in_bf16_learns_with_a_fused_optimizer(toy_blocks, tmp_path):
    import transformers

    from mlmfast.training.train import train

    class Optimizer(transformers.TrainerCallback):
        is_fused = None

        def on_train_begin(self, _args, _state, _control, optimizer=None, **_kwargs):
            self.is_fused = optimizer.param_groups[0]["fused"]

    optimizer = Optimizer()
    found = train(
        toy_blocks,
        output=tmp_path / "model",
        precision="bf16",
        num_train_epochs=6,
        callbacks=[optimizer],
        **NEW,
        **QUIET,
    )
    assert (found.device, found.precision) == (DEVICE, "bf16")
    assert found.after.perplexity < 0.7 * found.before.perplexity
    assert optimizer.is_fused
    assert found.mfu > 0
    transformers.AutoModelForMaskedLM.from_pretrained(found.output)


ROADS = {
    "plain": {},
    "accumulated": {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 4},
    "checkpointed": {"gradient_checkpointing": True},
    "joined documents": {"documents": "joined"},
    "separate documents": {"documents": "separate"},
    "adapters": {"lora": "rank=4"},
    "compiled": COMPILED,
}


# Compiling the forward and the backward pass takes half a minute.
@pytest.mark.timeout(600 if DRY_RUN else 120)
@pytest.mark.parametrize("road", ROADS)
def test_losses_in_fp32_are_those_of_the_cpu(toy_blocks, checkpoint, tmp_path, road):
    from mlmfast.training.train import train

    options = QUIET | SHORT | ROADS[road] | {"model": checkpoint, "precision": "fp32"}
    if "lora" in options:
        pytest.importorskip("peft")
    found = train(toy_blocks, output=tmp_path / "found", **options)
    on_cpu = {name: each for name, each in options.items() if name not in COMPILED}
    expected = train(toy_blocks, output=tmp_path / "expected", **on_cpu | {"use_cpu": True})
    assert (found.device, expected.device) == (DEVICE, "cpu")
    assert found.train_loss == pytest.approx(expected.train_loss, rel=LAYERS)


def test_packed_documents_have_the_losses_of_the_cpu(documents, tmp_path):
    from mlmfast.training.train import train

    options = QUIET | SHORT | {"pack_documents": True, "precision": "fp32"}
    found = train(documents, output=tmp_path / "found", **NEW, **options)
    options["use_cpu"] = True
    expected = train(documents, output=tmp_path / "expected", **NEW, **options)
    assert found.train_loss == pytest.approx(expected.train_loss, rel=LAYERS)


def test_a_student_has_the_losses_of_the_cpu(toy_blocks, checkpoint, tmp_path):
    from mlmfast.training.train import train

    options = QUIET | SHORT | {"teacher": checkpoint, "student_layers": "0", "precision": "fp32"}
    found = train(toy_blocks, output=tmp_path / "found", **options)
    options["use_cpu"] = True
    expected = train(toy_blocks, output=tmp_path / "expected", **options)
    assert found.train_loss == pytest.approx(expected.train_loss, rel=LAYERS)


def test_an_evaluation_has_the_figures_of_the_cpu(toy_blocks, checkpoint):
    from mlmfast.training.evaluation.evaluate import evaluate

    found = evaluate(checkpoint, toy_blocks, device=DEVICE, precision="fp32")
    expected = evaluate(checkpoint, toy_blocks, device="cpu", precision="fp32")
    assert found.loss == pytest.approx(expected.loss, rel=LAYERS)
    assert found.masked_tokens == expected.masked_tokens


def test_batches_are_pinned_if_they_are_to_be(toy_blocks):
    from mlmfast.data.loading.loader import BlockLoader
    from mlmfast.data.store.store import open_splits

    loader = BlockLoader(open_splits(toy_blocks)["train"], batch_size=4, pin_memory=True)
    batch = next(iter(loader))
    assert all(tensor.is_pinned() is not DRY_RUN for tensor in batch.values())


@pytest.mark.parametrize("road", ["plain", "accumulated", "separate documents"])
def test_no_step_waits_for_the_gpu(toy_blocks, checkpoint, tmp_path, road):
    from device_waits import WatchedSteps
    from mlmfast.training.train import train

    # The first steps count operations, prove that rows can be left out and allocate memory.
    watched = WatchedSteps(first=4, last=6)
    options = QUIET | SHORT | ROADS[road] | {"max_steps": 8, "logging_steps": 8}
    train(
        toy_blocks,
        model=checkpoint,
        output=tmp_path / "out",
        precision="bf16",
        callbacks=[watched],
        **options,
    )
    assert watched.steps == 3
    assert watched.waits == []
    assert watched.copies == []


def test_a_batch_that_fits_is_named_and_does(tmp_path, small_device):
    from mlmfast.training.train import train

    length, sizes = small_device
    blocks = make_blocks(tmp_path, count=20 if DRY_RUN else 2600, block_size=length)
    options = QUIET | NEW | {"config_overrides": sizes | STILL, "precision": "bf16"}
    options |= {"max_steps": 2, "eval_strategy": "no", "per_device_train_batch_size": 64}
    with pytest.raises(DeviceMemoryError, match="--per-device-train-batch-size") as raised:
        train(blocks, output=tmp_path / "out", **options)
    named = int(re.search(r"--per-device-train-batch-size (\d+)", str(raised.value))[1])
    assert 1 <= named < 64
    options["per_device_train_batch_size"] = named
    assert math.isfinite(train(blocks, output=tmp_path / "out", **options).train_loss)


@pytest.fixture
def small_device(monkeypatch):
    """Limit the memory to what takes some of 64 rows; return their length, and a model's sizes."""
    import torch

    if DRY_RUN:
        from mlmfast.training.trainer.mlm_trainer import MLMTrainer

        compute = MLMTrainer.compute_loss

        def fails(self, model, inputs, *args, **kwargs):
            if len(inputs["input_ids"]) > 40:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return compute(self, model, inputs, *args, **kwargs)

        monkeypatch.setattr(MLMTrainer, "compute_loss", fails)
        yield 4, TINY
        return
    memory = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(2 * 2**30 / memory)
    yield 512, {"hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8}
    torch.cuda.set_per_process_memory_fraction(1.0)
