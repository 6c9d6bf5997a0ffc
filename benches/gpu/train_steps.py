"""Training steps of one way at every length: time, tokens a second, MFU, waiting, memory.

`python benches/gpu/train_steps.py FOLDER WAY`
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import gpu_inputs
import torch
import transformers
from bench_mask import VOCABULARY
from gpu_settings import DEVICE, DRY_RUN, MASKED, ROWS, STEPS, WARM_UP

from mlmfast.data.store.store import BlockStore
from mlmfast.training.datasets import MaskedBlocks
from mlmfast.training.trainer.flops import peak_of
from mlmfast.training.trainer.mlm_trainer import MLMTrainer

LABELS = {
    "ours": "**mlmfast**",
    "ours-compiled": "**mlmfast, compiled**",
    "separate": "mlmfast, documents apart",
    "all-rows": "mlmfast, the head on all rows",
    "trainer": "`Trainer`, bf16, 8 workers",
    "trainer-compiled": "`Trainer`, bf16, 8 workers, compiled",
}
HEAD = "| tokens | | a step takes | tokens/s | MFU | waits for batches | peak memory | loss |"


class Clock(transformers.TrainerCallback):
    """Times the steps behind the first ones, with the GPU's work in them."""

    def __init__(self) -> None:
        self.seconds = self.waited = 0.0
        self._start = 0.0

    def on_step_end(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """Begin to count behind the first steps, and end behind the last."""
        if state.global_step == WARM_UP:
            self._synchronize()
            self.waited = 0.0
            if not DRY_RUN:
                torch.cuda.reset_peak_memory_stats()
            self._start = time.perf_counter()
        elif state.global_step == WARM_UP + STEPS:
            self._synchronize()
            self.seconds = time.perf_counter() - self._start

    def _synchronize(self) -> None:
        if not DRY_RUN:
            torch.cuda.synchronize()


def arguments(way: str, length: int, folder: str, **more: Any) -> transformers.TrainingArguments:
    """The same for all ways, but for what a way is about."""
    if way.startswith("trainer"):
        more |= {"dataloader_num_workers": 0 if DRY_RUN else 8}
    if way.endswith("compiled"):
        more |= {"torch_compile": True, "torch_compile_backend": "eager" if DRY_RUN else "inductor"}
    return transformers.TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=ROWS[length],
        max_steps=WARM_UP + STEPS,
        learning_rate=1e-4,
        bf16=True,
        use_cpu=DRY_RUN,
        dataloader_pin_memory=not DRY_RUN,
        logging_steps=WARM_UP + STEPS,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **more,
    )


def dense_loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    """The loss from the logits of all rows."""
    logits = outputs.logits.flatten(0, 1).float()
    total = torch.nn.functional.cross_entropy(logits, labels.flatten(), reduction="sum")
    return total / num_items_in_batch


def trainer(way: str, folder: Path, length: int, work: str, clock: Clock) -> transformers.Trainer:
    """The way's trainer, whose waiting for batches the clock counts."""
    separate = way == "separate"
    store = BlockStore.open(folder / f"blocks-{length}")
    base: Any = transformers.Trainer if way.startswith("trainer") else MLMTrainer
    more: dict[str, Any] = {"train_dataset": MaskedBlocks(store, documents=separate)}
    if base is MLMTrainer:
        more["documents"] = "separate" if separate else "joined"
    else:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "checkpoint")
        collate = transformers.DataCollatorForLanguageModeling(tokenizer, mlm_probability=MASKED)
        more = {"train_dataset": store.to_datasets(), "data_collator": collate}
    if way == "all-rows":
        more["compute_loss_func"] = dense_loss

    class Waiting(base):  # type: ignore[misc]
        def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            samples = super().get_batch_samples(*args, **kwargs)
            clock.waited += time.perf_counter() - start
            return samples

    given = arguments(way, length, work)
    return Waiting(gpu_inputs.network(), given, callbacks=[clock], **more)


def useful_flops(config: Any, rows: int, length: int) -> float:
    """FLOPs of a step that the loss depends on, forward and backward.

    The head, and the last layer behind its attention, are counted at the masked tokens alone.
    """
    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    tokens = rows * length
    before = 3 * width * width + 2 * length * width  # queries, keys, values; the attention itself
    behind = width * width + 2 * width * inner
    head = width * width + width * VOCABULARY
    in_layers = layers * before * tokens + behind * tokens * (layers - 1 + MASKED)
    return 3 * 2 * (in_layers + head * MASKED * tokens)


def main(folder: Path, way: str) -> None:
    """Print a row for each length as soon as it is measured."""
    print(HEAD, "|---" * 8 + "|", sep="\n", flush=True)
    peak = peak_of(DEVICE, "bf16")
    for length, rows in ROWS.items():
        clock = Clock()
        with tempfile.TemporaryDirectory() as work:
            found = trainer(way, folder, length, work, clock)
            found.remove_callback(transformers.PrinterCallback)
            result = found.train()
        step = clock.seconds / STEPS
        share = useful_flops(found.model.config, rows, length) / step / peak.flops
        memory = 0 if DRY_RUN else torch.cuda.max_memory_allocated()
        cells = [f"{1e3 * step:.1f} ms", f"{rows * length / step:,.0f}", f"{share:.1%}"]
        cells += [f"{clock.waited / clock.seconds:.1%}", f"{memory / 2**30:.1f} GiB"]
        cells += [f"{result.training_loss:.3f}"]
        print(f"| {rows} x {length} | {LABELS[way]} | " + " | ".join(cells) + " |", flush=True)
        del found
        if not DRY_RUN:
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
