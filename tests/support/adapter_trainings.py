"""Trainings with adapters: their options, and the checkpoint that they begin with."""

from __future__ import annotations

import pytest

from mlmfast.data.prepare.api import prepare
from mlmfast.training.train import train
from toy import BLOCK_SIZE, SCRATCH

# Six steps an epoch, with dropout in the model and in front of the adapters.
OPTIONS = {
    "precision": "fp32",
    "use_cpu": True,
    "report": False,
    "quiet": True,
    "learning_rate": 1e-2,
    "lora": "rank=4,dropout=0.1,targets=all-linear",
    "num_train_epochs": 2,
    "per_device_train_batch_size": 12,
    "save_strategy": "steps",
    "save_steps": 2,
}


@pytest.fixture(scope="module")
def base(toy_blocks, tmp_path_factory):
    """The checkpoint that the adapters are for: it has read half of the words."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "text.txt").write_text("the old cat sat on a red mat the old cat sat on\n" * 120)
    tokenizer = toy_blocks.parent / "tokenizer"
    prepare(str(folder / "text.txt"), folder / "blocks", tokenizer=tokenizer, block_size=BLOCK_SIZE)
    options = SCRATCH | {"learning_rate": 3e-3, "max_steps": 40}
    train(folder / "blocks", output=folder / "model", **options)
    return folder / "model"
