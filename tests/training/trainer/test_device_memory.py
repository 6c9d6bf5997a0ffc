"""A batch that does not fit on the device: the one that does is named."""

from __future__ import annotations

import pytest
import torch
from transformers import TrainingArguments

from mlmfast.errors import DeviceMemoryError
from mlmfast.training.datasets import MaskedBlocks
from mlmfast.training.train import train
from mlmfast.training.trainer.memory import Cost, advice, batch_that_fits, measure_cost
from mlmfast.training.trainer.mlm_trainer import MLMTrainer
from toy import SCRATCH

MEGA = 1 << 20


@pytest.fixture
def small_device(monkeypatch):
    """A device that takes five blocks at a time."""
    compute = MLMTrainer.compute_loss

    def fails(self, model, inputs, *args, **kwargs):
        if len(inputs["input_ids"]) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return compute(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(MLMTrainer, "compute_loss", fails)


@pytest.mark.usefixtures("small_device")
def test_the_batch_to_take_is_named_and_the_step_stays_the_same(toy_blocks, tmp_path):
    options = SCRATCH | {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 3}
    wanted = "--per-device-train-batch-size 4 --gradient-accumulation-steps 6"
    with pytest.raises(DeviceMemoryError, match=f"batches of 8 blocks .*{wanted}") as raised:
        train(toy_blocks, output=tmp_path / "out", eval_strategy="no", **options)
    assert "CUDA out of memory" in str(raised.value)
    assert not list(tmp_path.iterdir())
    followed = options | {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 6}
    train(toy_blocks, output=tmp_path / "out", eval_strategy="no", max_steps=1, **followed)


@pytest.mark.usefixtures("small_device")
def test_the_trainers_own_search_for_a_batch_still_works(toy_blocks, tmp_path, monkeypatch):
    read = []
    fill = MaskedBlocks.__getitems__

    def reads(self, indices):
        read.append(tuple(indices))
        return fill(self, indices)

    monkeypatch.setattr(MaskedBlocks, "__getitems__", reads)
    options = SCRATCH | {"per_device_train_batch_size": 8, "auto_find_batch_size": True}
    options |= {"eval_strategy": "no", "num_train_epochs": 1}
    train(toy_blocks, output=tmp_path / "out", **options)
    small = [number for batch in read if len(batch) <= 5 for number in batch]
    assert len(set(small)) == 71


def test_the_largest_divisor_that_fits():
    cost = Cost(fixed=100 * MEGA, row=10 * MEGA)
    assert batch_that_fits(cost, 250 * MEGA, 32) == 8  # 1.25 * (100 + 80) = 225
    assert batch_that_fits(cost, 250 * MEGA, 6) == 3
    assert batch_that_fits(cost, 130 * MEGA, 32) == 0


def test_what_a_row_costs_is_measured(monkeypatch):
    state = {"now": 50 * MEGA, "peak": 0}
    cuda = {
        "empty_cache": lambda: None,
        "memory_allocated": lambda _device: state["now"],
        "reset_peak_memory_stats": lambda _device: state.update(peak=state["now"]),
        "max_memory_allocated": lambda _device: state["peak"],
    }
    for name, function in cuda.items():
        monkeypatch.setattr(torch.cuda, name, function)

    def forward(rows):
        state["peak"] = state["now"] + (3 + 7 * rows) * MEGA

    assert measure_cost(forward, torch.device("cuda")) == Cost(53 * MEGA, 7 * MEGA)


def test_where_nothing_fits_other_ways_are_named(tmp_path):
    arguments = TrainingArguments(
        tmp_path, use_cpu=True, gradient_checkpointing=True, per_device_train_batch_size=4
    )
    said = advice(arguments, 0)
    assert "--bf16" in said
    assert "--gradient-checkpointing" not in said
