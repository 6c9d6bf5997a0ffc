"""The device of the tests marked `gpu`: an NVIDIA GPU, or the CPU in its place.

With MLMFAST_GPU_DRY_RUN=1 these tests run on any machine: the CPU stands in for the GPU, so that a
fault of the tests themselves does not cost minutes of a GPU. What only a GPU can show they leave
out then.
"""

from __future__ import annotations

import ctypes
import functools
import os

import pytest

DRY_RUN = os.environ.get("MLMFAST_GPU_DRY_RUN") == "1"
DEVICE = "cpu" if DRY_RUN else "cuda"
# Each of them has a minute: a run that is cut has told most.
GPU = [pytest.mark.gpu, pytest.mark.timeout(600 if DRY_RUN else 60)]


@functools.lru_cache
def missing() -> str | None:
    """Return why the tests marked `gpu` are skipped; None if they run.

    The driver decides, not torch or onnxruntime: where there is a GPU and one of them cannot use
    it, the tests fail.
    """
    if DRY_RUN:
        return None
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "needs an NVIDIA GPU, and there is no driver of one"
    count = ctypes.c_int()
    status = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if status or not count.value:
        return f"needs an NVIDIA GPU, and the driver finds none (CUDA status {status})"
    return None
