"""Texts a second by length, beside the fill-mask pipeline in fp16, compiled and not."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gpu_inputs
from gpu_settings import DEVICE, DRY_RUN, ROUNDS, TEXTS

from mlmfast.serving.fill_mask import FillMask

# The pipeline's batch for texts of so many tokens: 32,768 tokens.
BATCH = {length: 32_768 // length for length in TEXTS}


def pipeline(folder: Path, *, compiled: bool) -> Callable[..., Any]:
    """The pipeline of transformers in fp16."""
    import torch
    import transformers

    dtype = torch.float32 if DRY_RUN else torch.float16
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder / "checkpoint", dtype=dtype)
    if compiled:
        model.compile(backend="eager" if DRY_RUN else "inductor")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "checkpoint")
    return transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer, device=DEVICE)


def ours(folder: Path, precision: str) -> Callable[..., Any]:
    """FillMask, which chooses its batches itself."""
    fill_mask = FillMask(folder / precision, device=DEVICE)

    def answer(texts: list[str], **_batch: int) -> list[Any]:
        return list(fill_mask.stream(texts))

    return answer


WAYS: dict[str, Callable[[Path], Callable[..., Any]]] = {
    "**mlmfast, fp16**": partial(ours, precision="fp16"),
    "**mlmfast, fp32**": partial(ours, precision="fp32"),
    "`pipeline`, torch, fp16": partial(pipeline, compiled=False),
    "`pipeline`, torch, fp16, compiled": partial(pipeline, compiled=True),
}


def agreement(found: list[Any], expected: list[Any]) -> str:
    """At how many texts the best tokens are the same."""
    same = sum(a[0]["token"] == b[0]["token"] for a, b in zip(found, expected, strict=True))
    return f"{same} of {len(expected)}"


def main(folder: Path) -> None:
    """Print a row for each length and way as soon as it is measured."""
    print("| tokens | | texts/s | (min - max) | one text | best token as fp32's |")
    print("|---|---|---|---|---|---|", flush=True)
    ways = {label: make(folder) for label, make in WAYS.items()}
    for length in TEXTS:
        texts = gpu_inputs.texts(length)
        expected = list(ways["**mlmfast, fp32**"](texts, batch_size=BATCH[length]))
        for label, way in ways.items():
            found = way(texts, batch_size=BATCH[length])  # warms up
            speeds = [len(texts) / _seconds(way, texts, BATCH[length]) for _ in range(ROUNDS)]
            way(texts[:1], batch_size=1)
            lone = statistics.median(_seconds(way, texts[:1], 1) for _ in range(10))
            cells = [
                f"{statistics.median(speeds):,.0f}",
                f"{min(speeds):,.0f} - {max(speeds):,.0f}",
            ]
            cells += [f"{1e3 * lone:.2f} ms", agreement(found, expected)]
            print(f"| {length} | {label} | " + " | ".join(cells) + " |", flush=True)


def _seconds(way: Callable[..., Any], texts: list[str], batch: int) -> float:
    start = time.perf_counter()
    way(texts, batch_size=batch)
    return time.perf_counter() - start


if __name__ == "__main__":
    main(Path(sys.argv[1]))
