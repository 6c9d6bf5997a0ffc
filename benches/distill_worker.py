"""A contender of P10 in a process of its own: a distillation of as many steps as it is told.

`python benches/distill_worker.py WAY FOLDER` answers commands as `train_worker.py` does:
`["steps", COUNT]` and `["peak"]`. `--losses WAY FOLDER STEPS` prints the losses of so many steps
without dropout, on the same rows for every way. `--answers WAY FOLDER` stores the answers of the
teacher that a way of `STORED` reads, and prints the seconds and the bytes on the disk a masked
token.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import torch
import train_worker
import transformers
from fill_mask_worker import peak_memory
from torch.nn import functional

from mlmfast.data.store.store import BlockStore
from mlmfast.training.datasets import MaskedBlocks
from mlmfast.training.model.distillation.teacher import Teacher
from mlmfast.training.model.precision import choose_precision
from mlmfast.training.teacher_answers.compute import compute_parts
from mlmfast.training.teacher_answers.folder import AnswerFolder
from mlmfast.training.teacher_answers.form import AnswerForm
from mlmfast.training.trainer.distillation_trainer import DistillationTrainer

TEACHER_LAYERS = 12
TEMPERATURE, DISTILLATION, MLM, HIDDEN = 2.0, 5.0, 2.0, 1.0
RATE = 5e-4
OURS, PEERS = ("fp32", "auto"), ("plain", "plain auto")
STORED = ("stored", "stored auto")
STORED_BLOCKS, TOP_K = 160, 64
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def precision_of(way: str) -> str:
    """What a way computes in: fp32 or bf16."""
    return choose_precision("auto" if way.endswith("auto") else "fp32", "cpu").name


def models(vocabulary: int, **changes: float) -> tuple[Any, Any]:
    """A student of DistilRoBERTa's size and a teacher of RoBERTa's, of random weights."""
    teacher = train_worker.network(vocabulary, num_hidden_layers=TEACHER_LAYERS)
    return train_worker.network(vocabulary, **changes), teacher.eval().requires_grad_(False)


class PlainLoop:
    """DistilBERT's recipe in plain PyTorch: both models compute all logits."""

    def __init__(self, way: str, student: Any, teacher: Any) -> None:
        self.student, self.teacher = student.train(), teacher
        self.half = precision_of(way) == "bf16"
        self.optimizer = torch.optim.AdamW(
            student.parameters(), lr=RATE, weight_decay=0.0, fused=True
        )

    def step(self, batch: dict[str, torch.Tensor]) -> float:
        """Make an optimizer step and return its loss."""
        inputs = {name: each for name, each in batch.items() if name != "labels"}
        masked = batch["labels"] != -100
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            with torch.no_grad():
                taught = self.teacher(**inputs, output_hidden_states=True)
            found = self.student(**inputs, output_hidden_states=True)
        logits, theirs = (each.logits[masked].float() for each in (found, taught))
        hidden = [each.hidden_states[-1][masked].float() for each in (found, taught)]
        divergence = functional.kl_div(
            functional.log_softmax(logits / TEMPERATURE, dim=-1),
            functional.softmax(theirs / TEMPERATURE, dim=-1),
            reduction="batchmean",
        )
        loss = (
            DISTILLATION * divergence * TEMPERATURE**2
            + MLM * functional.cross_entropy(logits, batch["labels"][masked])
            + HIDDEN * functional.cosine_embedding_loss(*hidden, torch.ones(len(logits)))
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()


class InOrder(DistillationTrainer):
    """Reads rows in their order, as the peer does, and notes the loss of each step."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.noted: list[torch.Tensor] = []

    def _get_train_sampler(self, *_args: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Run the step."""
        loss = super().training_step(*args, **kwargs)
        self.noted.append(loss)  # the log rounds it
        return loss


def trainer(way: str, rows: Any, folder: str, steps: int, **changes: Any) -> InOrder:
    """Our trainer on blocks or rows."""
    vocabulary = changes.pop("vocabulary")
    taught: dict[str, Any] = {}
    if way in STORED:
        taught["answers"] = answers(way, Path(changes.pop("home")), len(rows), vocabulary)
        student = train_worker.network(vocabulary, **changes)
    else:
        student, taught["teacher"] = models(vocabulary, **changes)
    arguments = transformers.TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=train_worker.BATCH,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        bf16=precision_of(way) == "bf16",
        use_cpu=True,
        dataloader_pin_memory=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        max_steps=steps,
    )
    collator = None if isinstance(rows, MaskedBlocks) else transformers.default_data_collator
    found = InOrder(student, arguments, collator, train_dataset=rows, **taught)
    found.remove_callback(transformers.PrinterCallback)
    return found


def answers(way: str, folder: Path, blocks: int, vocabulary: int) -> AnswerFolder:
    """The folder with a teacher's answers, whether or not they are there."""
    form = AnswerForm.choose(
        top_k=TOP_K,
        vocabulary=vocabulary,
        temperature=TEMPERATURE,
        hidden_size=768,
        hidden=True,
        precision=precision_of(way),
        masked_per_item=0.15 * 128,
    )
    return AnswerFolder(folder / f"answers {way}", {"items": blocks}, form)


def store_answers(way: str, store: BlockStore, folder: Path) -> tuple[float, float]:
    """Store the answers to the first blocks; return the seconds, and bytes a masked token."""
    blocks = MaskedBlocks(store, limit=STORED_BLOCKS)
    _, teacher = models(store.manifest.vocab_size)
    half = torch.bfloat16 if precision_of(way) == "bf16" else None
    runs = Teacher(teacher, torch.device("cpu"), hidden=True, half=half)
    found = answers(way, folder, len(blocks), store.manifest.vocab_size)
    found.path.mkdir()
    started = time.perf_counter()
    compute_parts(found, found.begin(1), runs, blocks, batch_size=train_worker.BATCH)
    seconds = time.perf_counter() - started
    tokens = sum(len(found.read(0, item)["ids"]) for item in range(len(blocks)))
    return seconds, sum(file.stat().st_size for file in found.path.iterdir()) / tokens


def batches(store: BlockStore) -> Iterator[dict[str, torch.Tensor]]:
    """Shuffled, masked batches, as the guide makes them, epoch after epoch."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(store.path)
    loader: Iterable[Any] = torch.utils.data.DataLoader(
        store.to_datasets(),
        batch_size=train_worker.BATCH,
        shuffle=True,
        collate_fn=transformers.DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15),
    )
    return chain.from_iterable(repeat(loader))


def _answer(found: Any) -> None:
    print("\n=" + json.dumps(found), flush=True)


def _plain(way: str, store: BlockStore) -> None:
    loop = PlainLoop(way, *models(store.manifest.vocab_size))
    given = batches(store)
    for line in sys.stdin:
        name, *rest = json.loads(line)
        if name == "peak":
            _answer(peak_memory())
            continue
        started = time.perf_counter()
        for _ in range(rest[0]):
            loop.step(next(given))
        _answer([time.perf_counter() - started, 0.0])


def _losses(way: str, store: BlockStore, steps: int) -> list[float]:
    masked, size = MaskedBlocks(store), train_worker.BATCH
    rows = [masked[number] for number in range(steps * size)]
    if way in PEERS:
        loop = PlainLoop(way, *models(store.manifest.vocab_size, **STILL))
        parts = [rows[first : first + size] for first in range(0, len(rows), size)]
        return [loop.step(transformers.default_data_collator(part)) for part in parts]
    with tempfile.TemporaryDirectory() as work:
        found = trainer(way, rows, work, steps, vocabulary=store.manifest.vocab_size, **STILL)
        found.train()
        return [float(loss) for loss in found.noted]


def _main(way: str, folder: str) -> None:
    store = BlockStore.open(Path(folder) / "blocks")
    if way in PEERS:
        _plain(way, store)
        return
    with tempfile.TemporaryDirectory() as work:
        limit, steps = None, 10**6
        given: dict[str, Any] = {"vocabulary": store.manifest.vocab_size}
        if way in STORED:
            limit, steps = STORED_BLOCKS, STORED_BLOCKS // train_worker.BATCH
            given["home"] = folder
        found = trainer(way, MaskedBlocks(store, limit=limit), work, steps, **given)
        found.add_callback(train_worker.Paced())
        found.train()


if __name__ == "__main__":
    if sys.argv[1] == "--losses":
        blocks = BlockStore.open(Path(sys.argv[3]) / "blocks")
        print("=" + json.dumps(_losses(sys.argv[2], blocks, int(sys.argv[4]))))
    elif sys.argv[1] == "--answers":
        blocks = BlockStore.open(Path(sys.argv[3]) / "blocks")
        print("=" + json.dumps(store_answers(sys.argv[2], blocks, Path(sys.argv[3]))))
    else:
        _main(*sys.argv[1:])
