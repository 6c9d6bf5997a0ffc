"""A loss that is no number any more: the training ends, and its batch can be had again."""

from __future__ import annotations

import json

import pytest
import torch
import transformers

from mlmfast.data.store.store import open_splits
from mlmfast.errors import NonFiniteLossError
from mlmfast.training.datasets import MaskedBlocks
from mlmfast.training.train import train
from mlmfast.training.trainer.step_batches import step_batch
from processes_at_work import Poisons
from quiet_arguments import quiet_arguments
from toy import SCRATCH

OPTIONS = SCRATCH | {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}


@pytest.fixture
def read(monkeypatch):
    """All batches that are read, by the numbers of their blocks."""
    batches = {}
    fill = MaskedBlocks.__getitems__

    def reads(self, indices):
        found = fill(self, indices)
        batches.setdefault(self.epoch, {})[tuple(indices)] = found
        return found

    monkeypatch.setattr(MaskedBlocks, "__getitems__", reads)
    return batches


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_training_ends_at_the_step_and_names_its_batch(toy_blocks, tmp_path, read, value):
    with pytest.raises(NonFiniteLossError, match=r"Step 12 .* epoch 1, seed 3, 8 blocks") as raised:
        train(
            toy_blocks,
            output=tmp_path / "out",
            seed=3,
            mlm_probability=0.3,
            callbacks=[Poisons(11, value)],
            eval_strategy="no",
            **OPTIONS,
        )
    error = raised.value
    assert (error.step, error.epoch, len(error.block_ids)) == (11, 1, 8)
    halves = [read[1][tuple(error.block_ids[at : at + 4])] for at in (0, 4)]
    again = step_batch(toy_blocks, 11, batch_size=4, accumulated=2, seed=3, mlm_probability=0.3)
    for name in ("input_ids", "labels"):
        assert torch.equal(again[name], torch.cat([half[name] for half in halves]))
    assert f"step_batch({str(open_splits(toy_blocks)['train'].path)!r}, 11, " in str(error)
    assert [path.name for path in tmp_path.rglob("*checkpoint-*")] == ["checkpoint-9"]


def test_weights_that_are_no_numbers_are_not_saved(toy_blocks, tmp_path):
    options = OPTIONS | {"save_strategy": "steps", "save_steps": 1, "eval_strategy": "no"}
    with pytest.raises(NonFiniteLossError, match="checkpoint-3 is kept"):
        train(toy_blocks, output=tmp_path / "out", callbacks=[Poisons(4)], **options)
    kept = [path.name for path in (tmp_path / "out.partial").glob("checkpoint-*")]
    assert kept == ["checkpoint-3"]
    train(toy_blocks, output=tmp_path / "out", resume_from_checkpoint=True, **options)
    found = json.loads((tmp_path / "out" / "mlmfast_training.json").read_text())
    assert found["steps"] == 27


def test_an_ordinary_data_set_is_watched_too(toy_blocks, tmp_path):
    from mlmfast.training.model.from_scratch import new_model
    from mlmfast.training.trainer.mlm_trainer import MLMTrainer

    store = open_splits(toy_blocks)["train"]
    arguments = quiet_arguments(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(store.path)
    trainer = MLMTrainer(
        new_model(store, model_type="roberta", config_overrides=SCRATCH["config_overrides"]),
        arguments,
        transformers.DataCollatorForLanguageModeling(tokenizer),
        store.to_datasets(),
        callbacks=[Poisons(2)],
    )
    with pytest.raises(NonFiniteLossError, match="Step 3 "):
        trainer.train()
