"""What does a student of half the layers gain from its teacher?

A small ModernBERT is trained on public-domain books. Students of half its layers learn from the
same blocks, for the same number of steps and three seeds each: from random weights by masked words
alone, from the teacher's layers by masked words alone, and from these layers by distillation.
All are measured on the same masks of books that nobody trained on. The teacher and the first
distilled student are then exported, and fill the same masks, in turn. Takes about 15 minutes.
"""

from __future__ import annotations

import gzip
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import mlmfast

SHARED = Path(os.environ.get("MLMFAST_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
TEXT = SHARED / "text" / "books" / "books_en_48m.txt.gz"
CHARACTERS = 4_000_000
HELD_OUT = 10  # every so many stretches of lines
STRETCH = 400
SEEDS = (1, 2, 3)
TEACHER_STEPS, STEPS = 2400, 400
LAYERS = "0,2"
SHAPE: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "local_attention": 16,
    "_attn_implementation": "eager",
    # Compiling takes longer than a training. (Transformers 5 has no such field.)
    "reference_compile": False,
}
ARGUMENTS: dict[str, Any] = {
    "learning_rate": 2e-3,
    "adam_beta2": 0.98,
    "weight_decay": 0.01,
    "per_device_train_batch_size": 8,
    "eval_strategy": "no",
    "save_strategy": "no",
    "mlm_probability": 0.2,
    "documents": "joined",  # lines are pieces of one text
    "report": False,
    "quiet": True,
}
SCRATCH = {"from_scratch": True, "model_type": "modernbert"}
MEASURED: dict[str, Any] = {"device": "cpu", "documents": "joined"}
TEXTS, ROUNDS = 400, 5


def split_text(folder: Path) -> tuple[Path, Path]:
    """Write lines to train on and lines to measure on."""
    with gzip.open(TEXT, "rt", encoding="utf-8") as file:
        lines = [line for line in file.read(CHARACTERS).splitlines() if line.strip()]
    parts: tuple[list[str], list[str]] = ([], [])
    for first in range(0, len(lines), STRETCH):
        parts[first // STRETCH % HELD_OUT == 0].extend(lines[first : first + STRETCH])
    paths = folder / "train.txt", folder / "held_out.txt"
    for path, part in zip(paths, parts, strict=True):
        path.write_text("\n".join(part) + "\n", encoding="utf-8")
    return paths


def ways(teacher: Path) -> dict[str, dict[str, Any]]:
    """The options of `train` for each way to a student."""
    layers = {"teacher": teacher, "student_layers": LAYERS}
    alone = {"distillation_weight": 0.0, "hidden_weight": 0.0, "mlm_weight": 1.0}
    small = SHAPE | {"num_hidden_layers": len(LAYERS.split(","))}
    return {
        "distilled, from the teacher's layers": layers,
        "masked words alone, from the teacher's layers": layers | alone,
        "masked words alone, from random weights": SCRATCH | {"config_overrides": small},
    }


def fill_speed(folders: dict[str, Path], texts: list[str]) -> dict[str, list[float]]:
    """Fill the same masks with each ONNX folder in turn; return texts per second of each round."""
    fills = {name: mlmfast.FillMask(folder) for name, folder in folders.items()}
    found: dict[str, list[float]] = {name: [] for name in folders}
    for number in range(ROUNDS + 1):
        for name, fill in fills.items():
            masked = [text.replace("<mask>", fill.mask_token) for text in texts]
            started = time.perf_counter()
            for _ in fill.stream(masked):
                pass
            if number:
                found[name].append(len(texts) / (time.perf_counter() - started))
    return found


def masked_lines(path: Path) -> list[str]:
    """Lines with a word in their middle masked."""
    texts = []
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split()[:40]
        if len(words) > 15:
            words[len(words) // 2] = "<mask>"
            texts.append(" ".join(words))
    return texts[:TEXTS]


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Train all, measure all, compare."""
    if not TEXT.is_file():
        say(f"skipped: there is no {TEXT}")
        return 0
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        text, held_out = split_text(home)
        lines = text.read_text(encoding="utf-8").splitlines()
        mlmfast.train_tokenizer(lines, home / "tokenizer", vocab_size=4096)
        options = {"tokenizer": home / "tokenizer", "block_size": 128}
        blocks = mlmfast.prepare(str(text), home / "blocks", **options)
        test = mlmfast.prepare(str(held_out), home / "test", **options)
        say(f"{len(blocks):,} blocks of 128 to train on, {len(test):,} held out")
        teacher = home / "teacher"
        found = mlmfast.train(
            home / "blocks",
            output=teacher,
            max_steps=TEACHER_STEPS,
            warmup_steps=TEACHER_STEPS // 10,
            config_overrides=SHAPE,
            **SCRATCH,
            **ARGUMENTS,
        )
        say(f"the teacher: {found.parameters:,} weights, {found.seconds:,.0f} s")
        say(f"  {mlmfast.evaluate(teacher, test, **MEASURED)}")
        perplexities: dict[str, list[float]] = {}
        for number, (way, given) in enumerate(ways(teacher).items()):
            for seed in SEEDS:
                output = home / f"student-{number}-{seed}"
                found = mlmfast.train(
                    home / "blocks",
                    output=output,
                    seed=seed,
                    max_steps=STEPS,
                    warmup_steps=STEPS // 10,
                    **given,
                    **ARGUMENTS,
                )
                measured = mlmfast.evaluate(output, test, **MEASURED)
                perplexities.setdefault(way, []).append(measured.perplexity)
                say(f"seed {seed}, {way}, {found.seconds:,.0f} s: {measured}")
        for way, values in perplexities.items():
            say(
                f"{way}: perplexity {statistics.mean(values):.2f} (standard deviation over "
                f"{len(SEEDS)} seeds {statistics.stdev(values):.2f})"
            )
        folders = {"teacher": home / "onnx", "student": home / "student-onnx"}
        mlmfast.export(teacher, folders["teacher"])
        mlmfast.export(home / f"student-0-{SEEDS[0]}", folders["student"])
        speeds = fill_speed(folders, masked_lines(held_out))
        for each, values in speeds.items():
            spread = f"{min(values):,.0f} to {max(values):,.0f}"
            say(f"fill-mask, {each}: {statistics.median(values):,.0f} texts/s ({spread})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
