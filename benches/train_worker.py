"""A contender of P5 in a process of its own: a Trainer that trains as many steps as it is told.

`python benches/train_worker.py WAY FOLDER` trains on the blocks in a folder and answers each
command on standard input, a list in JSON, by one line of JSON: `["steps", COUNT]` makes so many
optimizer steps (seconds, and those of them that the trainer waited for batches), `["peak"]` tells
the most memory so far (bytes). `--losses WAY FOLDER STEPS` prints the losses of so many steps
without dropout, on the same rows for every way.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import transformers
from fill_mask_worker import peak_memory

from mlmfast.data.store.store import BlockStore
from mlmfast.training.datasets import MaskedBlocks
from mlmfast.training.model.precision import choose_precision
from mlmfast.training.trainer.mlm_trainer import MLMTrainer

# DistilRoBERTa's.
SHAPE = {"num_hidden_layers": 6, "max_position_embeddings": 514, "type_vocab_size": 1}
BATCH = 8
OURS, PEERS = ("fp32", "auto"), ("guide", "tuned")


def precision_of(way: str) -> str:
    """What a way computes in: fp32 or bf16."""
    return choose_precision("auto" if way in ("auto", "tuned") else "fp32", "cpu").name


def network(vocabulary: int, **changes: float) -> transformers.PreTrainedModel:
    """A model of random weights, the same each time."""
    transformers.set_seed(0)
    config = transformers.RobertaConfig(vocab_size=vocabulary, **(SHAPE | changes))
    return transformers.AutoModelForMaskedLM.from_config(config)


def arguments(way: str, folder: str, **more: Any) -> transformers.TrainingArguments:
    """The guide's, and what the way sets besides."""
    if way == "tuned":
        more |= {"dataloader_num_workers": 2, "dataloader_persistent_workers": True}
    return transformers.TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=BATCH,
        learning_rate=2e-5,
        weight_decay=0.01,
        bf16=precision_of(way) == "bf16",
        use_cpu=True,
        dataloader_pin_memory=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **more,
    )


class Paced(transformers.TrainerCallback):
    """Lets the trainer go on only as far as standard input says, and answers there."""

    def __init__(self) -> None:
        self.waited = 0.0
        self._left = 0
        self.started = 0.0

    def on_train_begin(self, _args: Any, _state: Any, control: Any, **_kwargs: Any) -> None:
        """Wait for the first command."""
        self._wait(control)

    def on_step_end(self, _args: Any, _state: Any, control: Any, **_kwargs: Any) -> None:
        """Answer after the last step that was asked for."""
        self._left -= 1
        if self._left == 0:
            _answer(self.found())
            self._wait(control)

    def found(self) -> list[float]:
        """What the last steps were: their seconds, and those waited for batches."""
        return [time.perf_counter() - self.started, self.waited]

    def _wait(self, control: Any) -> None:
        for line in sys.stdin:
            name, *rest = json.loads(line)
            if name == "steps":
                self._left, self.waited = rest[0], 0.0
                self.started = time.perf_counter()
                return
            _answer(peak_memory())
        control.should_training_stop = True


def _answer(found: Any) -> None:
    print("\n=" + json.dumps(found), flush=True)


def trainer(way: str, folder: str, work: str) -> transformers.Trainer:
    """The way's trainer on the blocks, at the pace of standard input."""
    store = BlockStore.open(Path(folder) / "blocks")
    return paced(
        network(store.manifest.vocab_size),
        arguments(way, work, max_steps=10**6),
        store,
        ours=way in OURS,
    )


def paced(
    model: Any, given: transformers.TrainingArguments, store: BlockStore, *, ours: bool
) -> transformers.Trainer:
    """Our trainer of a model on blocks, or the peer's, at the pace of standard input."""
    pace = Paced()
    base: Any = MLMTrainer if ours else transformers.Trainer
    data: dict[str, Any] = {"train_dataset": MaskedBlocks(store)}
    if not ours:
        tokenizer = transformers.AutoTokenizer.from_pretrained(store.path)
        data = {
            "train_dataset": store.to_datasets(),
            "data_collator": transformers.DataCollatorForLanguageModeling(
                tokenizer, mlm_probability=0.15
            ),
        }

    class Waiting(base):  # type: ignore[misc]
        def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            samples = super().get_batch_samples(*args, **kwargs)
            pace.waited += time.perf_counter() - start
            return samples

    return Waiting(model, given, callbacks=[pace], **data)


def losses(way: str, folder: str, steps: int) -> list[float]:
    """The loss of each step, without dropout, on rows that are masked already."""
    store = BlockStore.open(Path(folder) / "blocks")
    masked = MaskedBlocks(store)
    rows = [masked[number] for number in range(steps * BATCH)]
    base: Any = MLMTrainer if way in OURS else transformers.Trainer
    noted: list[float] = []

    class Noting(base):  # type: ignore[misc]
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().training_step(*args, **kwargs)
            noted.append(float(loss))  # the log rounds it
            return loss

    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    with tempfile.TemporaryDirectory() as work:
        found = Noting(
            network(store.manifest.vocab_size, **still),
            arguments(way, work, max_steps=steps, lr_scheduler_type="constant"),
            transformers.default_data_collator,
            train_dataset=rows,
        )
        found.remove_callback(transformers.PrinterCallback)
        found.train()
    return noted


def _main(way: str, folder: str) -> None:
    with tempfile.TemporaryDirectory() as work:
        found = trainer(way, folder, work)
        found.remove_callback(transformers.PrinterCallback)
        found.train()


if __name__ == "__main__":
    if sys.argv[1] == "--losses":
        print("=" + json.dumps(losses(*sys.argv[2:4], int(sys.argv[4]))))
    else:
        _main(*sys.argv[1:])
