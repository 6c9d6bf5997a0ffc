"""A contender of P9 in a process of its own: a Trainer on documents, at the pace of its parent.

`python benches/documents_worker.py WAY FOLDER LENGTH` trains on the documents in a folder and
answers each command on standard input as `train_worker.py` does: `["steps", COUNT]` makes so many
optimizer steps (seconds, tokens that are not padding, positions), `["peak"]` tells the most memory
so far (bytes). `--loss WAY FOLDER LENGTH COUNT` trains once on the first COUNT documents without
dropout, and prints the loss on those that are held out.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import train_worker
import transformers

from mlmfast.data.store.store import BlockStore
from mlmfast.training.datasets import EvaluationBlocks, MaskedBlocks
from mlmfast.training.model.precision import choose_precision
from mlmfast.training.trainer.mlm_trainer import MLMTrainer

DOCUMENTS = 8
"""Documents in a batch; packed rows hold about as many."""
PEERS = ("script", "grouped")
PACKED = ("packed", "packed auto", "joined")


def precision_of(way: str) -> str:
    """What a way computes in: fp32 or bf16."""
    return choose_precision("auto" if way.endswith("auto") else "fp32", "cpu").name


def training_blocks(way: str, store: BlockStore, count: int | None) -> MaskedBlocks:
    """The training documents of one of our ways."""
    return MaskedBlocks(store, limit=count, pack_documents=way in PACKED)


def rows_of(way: str, store: BlockStore) -> int:
    """Rows of a batch: documents, or as many packed rows as hold about so many documents."""
    if way not in PACKED:
        return DOCUMENTS
    manifest = store.manifest
    tokens = (manifest.tokens - manifest.padding_tokens) / manifest.blocks
    return max(1, round(DOCUMENTS * tokens / manifest.block_size))


def trainer(
    way: str, folder: str, length: int, work: str, *, count: int | None = None, **more: Any
) -> transformers.Trainer:
    """The way's trainer on the first `count` documents, which may be all."""
    store = BlockStore.open(Path(folder) / "train")
    changes: dict[str, Any] = {"max_position_embeddings": length + 2}
    if count is not None:
        changes |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    arguments = transformers.TrainingArguments(
        output_dir=work,
        per_device_train_batch_size=rows_of(way, store),
        learning_rate=1e-4,
        lr_scheduler_type="constant",
        bf16=precision_of(way) == "bf16",
        use_cpu=True,
        dataloader_pin_memory=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        group_by_length=way == "grouped",
        **more,
    )
    network = train_worker.network(store.manifest.vocab_size, **changes)
    if way not in PEERS:
        found = MLMTrainer(
            network,
            arguments,
            train_dataset=training_blocks(way, store, count),
            documents="joined" if way == "joined" else None,
        )
    else:
        tokenizer = transformers.AutoTokenizer.from_pretrained(store.path)
        found = transformers.Trainer(
            network,
            arguments,
            train_dataset=lines(store, count),
            data_collator=transformers.DataCollatorForLanguageModeling(
                tokenizer, mlm_probability=0.15
            ),
        )
    found.remove_callback(transformers.PrinterCallback)
    return found


def lines(store: BlockStore, count: int | None) -> Any:
    """The documents as run_mlm.py has them with --line_by_line: truncated, without padding."""
    import datasets

    pad = store.manifest.pad_token_id
    rows = [row[row != pad].tolist() for row in store[:count]]
    return datasets.Dataset.from_dict({"input_ids": rows})


class Counting(train_worker.Paced):
    """Counts the tokens of the batches of the steps that were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = self.positions = 0

    def count(self, samples: list[dict[str, Any]]) -> None:
        """Add the batches of a step."""
        for batch in samples:
            self.positions += batch["input_ids"].numel()
            self.tokens += int(batch["attention_mask"].sum())

    def found(self) -> list[float]:
        """What the last steps were: seconds, tokens, positions."""
        found = [time.perf_counter() - self.started, self.tokens, self.positions]
        self.tokens = self.positions = 0
        return found


def _steps(way: str, folder: str, length: int) -> None:
    with tempfile.TemporaryDirectory() as work:
        pace = Counting()
        found: Any = trainer(way, folder, length, work, max_steps=10**6)
        samples_of = found.get_batch_samples

        def get_batch_samples(*args: Any, **kwargs: Any) -> Any:
            given = samples_of(*args, **kwargs)
            pace.count(given[0])
            return given

        found.get_batch_samples = get_batch_samples
        found.add_callback(pace)
        found.train()


def _loss(way: str, folder: str, length: int, count: int) -> float:
    with tempfile.TemporaryDirectory() as work:
        found = trainer(way, folder, length, work, count=count, num_train_epochs=1)
        found.train()
        measured = MLMTrainer(
            found.model,
            found.args,
            eval_dataset=EvaluationBlocks(BlockStore.open(Path(folder) / "test"), limit=count),
        )
        return float(measured.evaluate()["eval_loss"])


if __name__ == "__main__":
    if sys.argv[1] == "--loss":
        print("=" + json.dumps(_loss(*sys.argv[2:4], *map(int, sys.argv[4:]))))
    else:
        _steps(*sys.argv[1:3], int(sys.argv[3]))
