"""`make test-run-mlm`: is the perplexity after an epoch that of run_mlm.py, but for noise?

The same small models learn from the same text, once as run_mlm.py does it (transformers' Trainer,
its collator, `datasets.map` in between) and once by `mlmfast.train`, for several seeds. Each pair
begins with the same weights; all are measured on the same masks. Masks and order of the blocks are
drawn in other ways, so the numbers differ; what is asked is whether their means do, beyond what
seeds do. Exit status 1 if so. Takes some minutes.
"""

from __future__ import annotations

import math
import os
import statistics
import sys
import tempfile
from itertools import chain
from pathlib import Path

import mlmfast
from mlmfast.training.evaluation.statistics import half_width

SHARED = Path(os.environ.get("MLMFAST_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
TEXT = SHARED / "text" / "wikitext-2" / "valid.tokens.txt"
SEEDS = (1, 2, 3)
LENGTH = 64
HELD_OUT = 8  # every so many stretches of lines
STRETCH = 60
ARGUMENTS = {
    "learning_rate": 3e-3,
    "weight_decay": 0.01,
    "num_train_epochs": 1,
    "per_device_train_batch_size": 8,
    "use_cpu": True,
    "report_to": "none",
}
SHAPE = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 256,
    "max_position_embeddings": LENGTH + 2,
}


def split_text(folder: Path) -> tuple[Path, Path]:
    """Write lines to train on and lines to measure on."""
    lines = [line for line in TEXT.read_text(encoding="utf-8").splitlines() if line.strip()]
    parts: tuple[list[str], list[str]] = ([], [])
    for first in range(0, len(lines), STRETCH):
        parts[first // STRETCH % HELD_OUT == 0].extend(lines[first : first + STRETCH])
    paths = folder / "train.txt", folder / "held_out.txt"
    for path, part in zip(paths, parts, strict=True):
        path.write_text("\n".join(part) + "\n", encoding="utf-8")
    return paths


def train_as_run_mlm(text: Path, start: Path, output: Path, seed: int) -> None:
    """Line after line into tokens, tokens into blocks by batches of a thousand lines, and train."""
    import datasets
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(start)
    lines = datasets.load_dataset("text", data_files=str(text), split="train")
    tokens = lines.map(
        lambda batch: tokenizer(batch["text"], return_special_tokens_mask=True),
        batched=True,
        remove_columns=["text"],
    )

    def group(batch: dict) -> dict:
        joined = {name: list(chain(*lists)) for name, lists in batch.items()}
        total = len(joined["input_ids"]) // LENGTH * LENGTH
        return {
            name: [row[at : at + LENGTH] for at in range(0, total, LENGTH)]
            for name, row in joined.items()
        }

    blocks = tokens.map(group, batched=True)
    trainer = transformers.Trainer(
        model=transformers.AutoModelForMaskedLM.from_pretrained(start),
        args=transformers.TrainingArguments(
            output_dir=str(output), seed=seed, save_strategy="no", disable_tqdm=True, **ARGUMENTS
        ),
        train_dataset=blocks,
        data_collator=transformers.DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15),
    )
    trainer.train()
    trainer.save_model(str(output))


def main() -> int:
    """Train all, measure all, compare."""
    import transformers

    if not TEXT.is_file():
        sys.stdout.write(f"skipped: there is no {TEXT}\n")
        return 0
    transformers.logging.set_verbosity_error()
    found: dict[str, list[float]] = {"run_mlm.py's way": [], "mlmfast.train": []}
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        text, held_out = split_text(home)
        mlmfast.train_tokenizer(
            text.read_text(encoding="utf-8").splitlines(), home / "tokenizer", vocab_size=2048
        )
        options = {"tokenizer": home / "tokenizer", "block_size": LENGTH}
        mlmfast.prepare(str(text), home / "blocks", **options)
        test = mlmfast.prepare(str(held_out), home / "test", **options)
        tokenizer = transformers.AutoTokenizer.from_pretrained(home / "tokenizer")
        for seed in SEEDS:
            transformers.set_seed(seed)
            config = transformers.RobertaConfig(
                vocab_size=len(tokenizer),
                pad_token_id=tokenizer.pad_token_id,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                **SHAPE,
            )
            start = home / f"start-{seed}"
            transformers.RobertaForMaskedLM(config).save_pretrained(start)
            tokenizer.save_pretrained(start)
            outputs = [home / f"theirs-{seed}", home / f"ours-{seed}"]
            train_as_run_mlm(text, start, outputs[0], seed)
            mlmfast.train(
                home / "blocks",
                model=start,
                output=outputs[1],
                seed=seed,
                precision="fp32",
                eval_strategy="no",
                report=False,
                quiet=True,
                **ARGUMENTS,
            )
            for way, output in zip(found, outputs, strict=True):
                measured = mlmfast.evaluate(output, test, device="cpu", eval_seeds=2)
                found[way].append(measured.perplexity)
                sys.stdout.write(f"seed {seed}, {way}: {measured}\n")
                sys.stdout.flush()
    for way, values in found.items():
        sys.stdout.write(
            f"{way}: perplexity {statistics.mean(values):.2f} (standard deviation over "
            f"{len(SEEDS)} seeds {statistics.stdev(values):.2f})\n"
        )
    logs = [[math.log(value) for value in values] for values in found.values()]
    difference = statistics.mean(logs[1]) - statistics.mean(logs[0])
    error = math.sqrt(sum(statistics.variance(one) for one in logs) / len(SEEDS))
    reach = half_width(0.95, 2 * len(SEEDS) - 1) * error
    sys.stdout.write(
        f"ours is {math.exp(difference) - 1:+.2%}; chance alone moves it by up to {reach:.2%}\n"
    )
    return 0 if abs(difference) <= reach else 1


if __name__ == "__main__":
    sys.exit(main())
