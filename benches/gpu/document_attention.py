"""Attention inside documents: one mask for all rows, FlexAttention, and across documents.

mlmfast gives `scaled_dot_product_attention` a mask; whether FlexAttention's blocks would be faster
is what these times tell.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from gpu_settings import DEVICE, DRY_RUN
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention as attention

HEADS, WIDTH = 12, 64
# Tokens of a row -> rows; a document has 64 tokens.
SHAPES = {128: 2} if DRY_RUN else {512: 64, 2048: 16, 8192: 4}
DOCUMENT = 64
CALLS = 2 if DRY_RUN else 20


def milliseconds(run: Callable[[], Any], inputs: tuple[torch.Tensor, ...]) -> float:
    """The mean time of a forward and a backward pass."""

    def once() -> None:
        found = run()
        if inputs[0].requires_grad:
            found.backward(torch.ones_like(found))

    for _ in range(3):
        once()
    if not DRY_RUN:
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(CALLS):
        once()
    if not DRY_RUN:
        torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - start) / CALLS


def main(_folder: Path) -> None:
    """Print a row for each length and way."""
    flex = flex_attention if DRY_RUN else torch.compile(flex_attention)
    dtype = torch.float32 if DRY_RUN else torch.bfloat16
    print(
        "| rows x tokens | across documents | a mask | FlexAttention |",
        "|---|---|---|---|",
        sep="\n",
    )
    for length, rows in SHAPES.items():
        size = (rows, HEADS, length, WIDTH)
        # On the CPU, FlexAttention has no backward pass.
        q, k, v = (
            torch.randn(size, device=DEVICE, dtype=dtype, requires_grad=not DRY_RUN)
            for _ in range(3)
        )
        numbers = torch.arange(length, device=DEVICE) // DOCUMENT
        mask = (numbers[:, None] == numbers[None]).expand(rows, 1, length, length).contiguous()

        def same(_b: Any, _h: Any, i: Any, j: Any, numbers: torch.Tensor = numbers) -> Any:
            return numbers[i] == numbers[j]

        blocks = create_block_mask(same, None, None, length, length, device=DEVICE)
        ways = (
            lambda q=q, k=k, v=v: attention(q, k, v),
            lambda q=q, k=k, v=v, mask=mask: attention(q, k, v, attn_mask=mask),
            lambda q=q, k=k, v=v, blocks=blocks: flex(q, k, v, block_mask=blocks),
        )
        torch.testing.assert_close(ways[1](), ways[2](), rtol=2e-2, atol=2e-2)
        cells = [f"{milliseconds(way, (q, k, v)):.2f} ms" for way in ways]
        print(f"| {rows} x {length} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
