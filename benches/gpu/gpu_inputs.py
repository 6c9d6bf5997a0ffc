"""What the other parts measure with, written into a folder: a checkpoint, ONNX folders, blocks."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import bench_mask
import numpy as np
import pyarrow as pa
import transformers
from gpu_settings import ROWS, SHAPE, STEPS, TEXTS, WARM_UP

import mlmfast

DOCUMENTS_PER_BLOCK = 4


def network(**changes: Any) -> transformers.PreTrainedModel:
    """A RoBERTa of random weights, the same each time."""
    transformers.set_seed(0)
    # Twice the usual spread: the best scores lie apart.
    shape = {"initializer_range": 0.04, **SHAPE, **changes}
    config = transformers.RobertaConfig(vocab_size=bench_mask.VOCABULARY, **shape)
    return transformers.AutoModelForMaskedLM.from_config(config)


def random_words(rows: int, length: int) -> np.ndarray:
    """Words of one token each, `[rows, length]`."""
    ids = np.random.default_rng(length).integers(4, bench_mask.VOCABULARY - 1, (rows, length))
    return np.char.add("w", ids.astype(str))


def texts(length: int) -> list[str]:
    """Texts of so many tokens, one of them a mask."""
    words = random_words(TEXTS[length], length).astype(object)
    words[np.arange(len(words)), np.arange(len(words)) % length] = "<mask>"
    return [" ".join(row) for row in words]


def write_blocks(folder: Path, length: int) -> None:
    """Write blocks for a training, each of several documents."""
    blocks = ROWS[length] * (WARM_UP + STEPS + 1)
    words = random_words(blocks * DOCUMENTS_PER_BLOCK, length // DOCUMENTS_PER_BLOCK)
    mlmfast.prepare(
        pa.table({"text": [" ".join(row) for row in words]}),
        folder / f"blocks-{length}",
        tokenizer=folder / "checkpoint",
        block_size=length,
        special_tokens="none",
    )


def main(folder: Path) -> None:
    """Write everything; print how long each takes."""

    def done(what: str, since: float) -> None:
        print(f"- {what}: {time.perf_counter() - since:.1f} s", flush=True)

    start = time.perf_counter()
    tokenizer = bench_mask.tokenizer()
    tokenizer.model_max_length = 512
    tokenizer.save_pretrained(folder / "checkpoint")
    network().save_pretrained(folder / "checkpoint")
    done("checkpoint", start)
    for length in ROWS:
        start = time.perf_counter()
        write_blocks(folder, length)
        done(f"blocks of {length} tokens", start)
    for precision in ("fp16", "fp32"):
        start = time.perf_counter()
        # Random weights in half precision agree on little.
        options: dict[str, Any] = {"precision": precision, "min_agreement": 0.0}
        options["cuda_graphs"] = True
        mlmfast.export(folder / "checkpoint", folder / precision, **options)
        done(f"export in {precision}", start)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
