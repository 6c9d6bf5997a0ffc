"""The most arithmetic that this machine does in matrix products, by torch and by numpy."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

SHAPES = ((512, 768, 3072), (512, 3072, 768), (2048, 768, 3072), (2048, 3072, 768))
ROUNDS, SECONDS = 5, 0.1


def gemm_peak(precision: str = "fp32") -> tuple[float, str]:
    """FLOP/s of the fastest library at its fastest shape (median of its rounds), and which.

    Args:
        precision: `fp32`, or `bf16`, which torch alone knows.
    """
    import numpy as np
    import torch

    found = []
    for rows, inner, columns in SHAPES:
        left = np.random.default_rng(0).random((rows, inner), np.float32)
        right = np.random.default_rng(1).random((inner, columns), np.float32)
        out = np.empty((rows, columns), np.float32)
        a, b, c = (torch.from_numpy(each) for each in (left, right, out))
        runs: dict[str, Callable[[], object]] = {
            "numpy": lambda left=left, right=right, out=out: np.matmul(left, right, out=out),
            "torch": lambda a=a, b=b, c=c: torch.mm(a, b, out=c),
        }
        if precision == "bf16":
            a, b, c = (each.to(torch.bfloat16) for each in (a, b, c))
            runs = {"torch": lambda a=a, b=b, c=c: torch.mm(a, b, out=c)}
        for library, run in runs.items():
            speed = 2 * rows * inner * columns / statistics.median(_seconds(run))
            found.append((speed, f"{library}, {rows} x {inner} by {inner} x {columns}"))
    return max(found)


def _seconds(run: Callable[[], object]) -> list[float]:
    run()
    times = []
    for _ in range(ROUNDS):
        calls, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < SECONDS:
            run()
            calls += 1
        times.append(elapsed / calls)
    return times
