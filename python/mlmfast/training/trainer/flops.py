"""How many floating-point operations training needs, and how many the device could do."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from mlmfast.training.model.masked_head import IGNORED, MaskedHead

logger = logging.getLogger(__name__)

# Dense matrix products in bf16 or fp16 with sums in fp32, in TFLOP/s, from NVIDIA's data sheets of
# each product (for GeForce cards the white papers of their architecture); the sheets print twice
# the number where they count sparsity. The first name that a device's name contains is taken.
_PUBLISHED_TFLOPS = (
    ("B200", 2250.0),
    ("H200", 989.4),
    ("H100 NVL", 835.5),
    ("H100 PCIe", 756.5),
    ("H100", 989.4),
    ("A100", 312.0),
    ("A40", 149.7),
    ("A30", 165.0),
    ("A10G", 70.0),
    ("A10", 125.0),
    ("L40S", 362.0),
    ("L40", 181.0),
    ("L4", 121.0),
    ("RTX 4090", 165.2),
    ("RTX 3090", 71.0),
)
MATRIX = 1024
_SECONDS_OF_PRODUCTS = 0.15


@dataclass(frozen=True)
class BlockFlops:
    """Floating-point operations of training on one block, recomputed ones left out.

    Attributes:
        body: forward and backward pass of all that runs on every token, attention included.
        head_per_mask: the same of what runs on masked tokens only, for one of them.
    """

    body: float
    head_per_mask: float

    def of_block(self, masked: float) -> float:
        """Count a block with so many masked tokens."""
        return self.body + self.head_per_mask * masked


def count_work(head: MaskedHead, length: int, vocab_size: int) -> BlockFlops | None:
    """Count the operations of the matrix products of one block, as torch's own counter sees them.

    A multiplication and an addition are two operations; the backward pass has twice the forward
    pass's. Counted is what the training runs: where `head` has found that the head, and the last
    layer behind its attention, may run on masked rows, these count at masked tokens only.

    Args:
        head: the training's own, with its model; it has run a batch.
        length: tokens of a block.
        vocab_size: number of ids.

    Returns:
        None where the model cannot be asked this way.
    """
    model = head.model
    device = next(model.parameters()).device
    ids = torch.full((1, length), vocab_size - 1, device=device)
    few = max(1, length // 8)

    def count(masked: int) -> int:
        labels = torch.full_like(ids, IGNORED)
        labels[:, :masked] = 0
        with FlopCounterMode(display=False) as counter:
            head(model, {"input_ids": ids}, labels, fill_up=False)
        return counter.get_total_flops()

    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    cuda = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=cuda), torch.no_grad():
            one, two = count(few), count(2 * few)
    except Exception as error:  # noqa: BLE001 - any model may fail in its own way
        logger.debug("the model's operations are not counted: %s", error)
        return None
    finally:
        for module, training in modes:
            module.training = training
    head_per_mask = (two - one) / few
    return BlockFlops(body=3 * (one - head_per_mask * few), head_per_mask=3 * head_per_mask)


@dataclass(frozen=True)
class Peak:
    """What a device can do: operations a second, and who says so."""

    flops: float
    source: str

    def __str__(self) -> str:
        unit, name = (1e12, "TFLOP/s") if self.flops >= 1e12 else (1e9, "GFLOP/s")
        return f"{self.flops / unit:,.0f} {name}, {self.source}"


@lru_cache(maxsize=8)
def peak_of(device: str, precision: str) -> Peak:
    """Give the peak rate of matrix products, published for a known GPU, else measured here.

    Args:
        device: a torch device, `cpu`, `cuda:0` ...
        precision: `fp32`, `bf16` or `fp16`.
    """
    half = precision != "fp32"
    if device.startswith("cuda") and half:
        name = torch.cuda.get_device_name(device)
        for known, tflops in _PUBLISHED_TFLOPS:
            if known in name:
                return Peak(tflops * 1e12, f"data sheet of {name}")
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return Peak(_measured(device, dtype), f"matrix products in {precision}, measured")


def _measured(device: str, dtype: torch.dtype) -> float:
    """Multiply matrices for a moment and give the best rate."""
    # Accelerate numbers the CPUs of several processes, `cpu:0`.
    size = MATRIX if torch.device(device).type == "cpu" else 8 * MATRIX
    one, other = (torch.ones(size, size, dtype=dtype, device=device) for _ in range(2))
    best, began = float("inf"), time.perf_counter()
    rounds = 0
    while rounds < 4 or time.perf_counter() - began < _SECONDS_OF_PRODUCTS:
        started = time.perf_counter()
        product = one @ other
        _wait(product)
        best = min(best, time.perf_counter() - started)
        rounds += 1
    return 2 * size**3 / best


def _wait(result: torch.Tensor) -> None:
    if result.device.type != "cpu":
        result[0, 0].item()
