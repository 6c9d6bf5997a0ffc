"""Short fine-tuning for classification, with transformers' Trainer."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging as transformers_log

from mlmfast.training.model.load import load_pretrained
from mlmfast.training.model.precision import choose_precision, default_device
from mlmfast.training.process.state import isolated_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from transformers import PreTrainedModel

    from mlmfast.training.probing.encoder import EncodedTexts, Encoder
    from mlmfast.training.probing.options import ProbeOptions
    from mlmfast.training.probing.tasks import Division, Task

_WARMUP = 0.06
_WEIGHT_DECAY = 0.01


class FineTuned(NamedTuple):
    """A model after its best epoch.

    Attributes:
        predictions: int64 `[M]`, the classes of the test texts.
        epoch: the epoch with the best accuracy on the held-out texts, from 1.
        held_out_accuracy: that accuracy.
        model: the model.
    """

    predictions: np.ndarray
    epoch: int
    held_out_accuracy: float
    model: PreTrainedModel

    def save(self, folder: Path, encoder: Encoder) -> None:
        """Write the model and its tokenizer as a folder that `pipeline` opens."""
        self.model.save_pretrained(folder)
        encoder.tokenizer.save_pretrained(folder)


class _Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """Ids and classes of texts, as the Trainer takes them."""

    def __init__(self, ids: list[list[int]], classes: np.ndarray) -> None:
        self._ids = ids
        self._classes = classes

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, row: int) -> dict[str, Any]:
        ids = self._ids[row]
        return {
            "input_ids": ids,
            "attention_mask": [1] * len(ids),
            "labels": int(self._classes[row]),
        }


def fine_tune(
    encoder: Encoder,
    task: Task,
    texts: EncodedTexts,
    division: Division,
    seed: int,
    options: ProbeOptions,
) -> FineTuned:
    """Train a new classification head together with the encoder.

    The division and the seed are those of the linear probe; the seed also draws the new head, the
    order of the texts and the dropout.

    Args:
        encoder: the checkpoint to start from.
        task: the classes.
        texts: the ids of the texts.
        division: the rows to train on, and those on which the best epoch is chosen.
        seed: the seed.
        options: epochs, learning rate, batch size, device and precision.
    """
    device = torch.device(options.device or default_device())
    precision = choose_precision(options.precision, device.type).name
    fit, held_out = (
        _Rows([texts.train[row] for row in rows], task.train_classes[rows]) for rows in division
    )
    steps = options.epochs * -(-len(fit) // options.finetune_batch_size)
    with isolated_state(), tempfile.TemporaryDirectory() as folder:
        set_seed(seed)
        trainer = Trainer(
            model=_new_classifier(encoder.source, task.classes),
            args=TrainingArguments(
                output_dir=folder,
                num_train_epochs=options.epochs,
                learning_rate=options.learning_rate,
                weight_decay=_WEIGHT_DECAY,
                warmup_steps=int(steps * _WARMUP),
                per_device_train_batch_size=options.finetune_batch_size,
                per_device_eval_batch_size=options.batch_size,
                eval_strategy="epoch",
                save_strategy="epoch",
                save_total_limit=1,
                save_only_model=True,
                load_best_model_at_end=True,
                metric_for_best_model="accuracy",
                greater_is_better=True,
                logging_strategy="no",
                bf16=precision == "bf16",
                use_cpu=device.type == "cpu",
                seed=seed,
                report_to=[],
                disable_tqdm=True,
            ),
            train_dataset=fit,
            eval_dataset=held_out,
            data_collator=DataCollatorWithPadding(encoder.tokenizer),
            compute_metrics=_accuracy,
        )
        # It writes to standard output, where the table is expected.
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        best = trainer.state.best_metric
        measured = [
            (entry["eval_accuracy"], -entry["epoch"])
            for entry in trainer.state.log_history
            if "eval_accuracy" in entry
        ]
        predictions = trainer.predict(_Rows(texts.test, task.test_classes)).predictions.argmax(-1)
        return FineTuned(
            predictions=predictions.astype(np.int64),
            epoch=round(-max(measured)[1]),
            held_out_accuracy=float(best),
            model=trainer.accelerator.unwrap_model(trainer.model).to("cpu"),
        )


def _accuracy(outputs: Any) -> dict[str, float]:
    return {"accuracy": float((outputs.predictions.argmax(-1) == outputs.label_ids).mean())}


def _new_classifier(source: str, classes: list[str]) -> PreTrainedModel:
    with _without_warnings():  # the head is meant to be new
        return load_pretrained(
            AutoModelForSequenceClassification.from_pretrained,
            source,
            kind="model for classification",
            num_labels=len(classes),
            id2label=dict(enumerate(classes)),
            label2id={label: number for number, label in enumerate(classes)},
            problem_type="single_label_classification",
            ignore_mismatched_sizes=True,
            dtype=torch.float32,
        )


@contextmanager
def _without_warnings() -> Iterator[None]:
    level = transformers_log.get_verbosity()
    transformers_log.set_verbosity_error()
    try:
        yield
    finally:
        transformers_log.set_verbosity(level)
