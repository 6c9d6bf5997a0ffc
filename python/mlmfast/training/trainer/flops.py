"""The floating-point operations of training on a block, and the peak rate of a device."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from mlmfast.training.model.masked_head import MaskedHead
from mlmfast.training.model.masked_rows import IGNORED

logger = logging.getLogger(__name__)

# Dense bf16 or fp16 matrix multiplication with fp32 accumulation, in TFLOP/s, from NVIDIA's data
# sheets (for GeForce cards from the white papers of their architecture); sheets that count sparsity
# print twice the number. The first entry counts that is part of the name of the device.
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
_MEASURE_SECONDS = 0.15


@dataclass(frozen=True)
class BlockFlops:
    """Floating-point operations of training on one block, without recomputation.

    Attributes:
        body: forward and backward pass of everything that runs on all tokens, with attention; of
            the backward pass, only what trained weights need.
        head_per_mask: the same for what runs on masked tokens only, per masked token.
    """

    body: float
    head_per_mask: float

    def of_block(self, masked: float) -> float:
        """Return the operations of a block with this number of masked tokens."""
        return self.body + self.head_per_mask * masked


def count_block_flops(head: MaskedHead, length: int, vocab_size: int) -> BlockFlops | None:
    """Count the operations of the matrix multiplications of one block, with torch's counter.

    A multiplication and an addition are two operations; the backward pass has twice as many as the
    forward pass; if weights are frozen, as beside adapters, it has fewer, which are counted as they
    are run, and if all are, as in a teacher, none. What `head` runs on masked rows only (the head,
    and perhaps a part of the last layer) counts at masked tokens only.

    Args:
        head: the head of the training, which has run a batch.
        length: tokens of a block.
        vocab_size: number of ids.

    Returns:
        The operations; None if the counter fails on the model.
    """
    model = head.model
    device = next(model.parameters()).device
    ids = torch.full((1, length), vocab_size - 1, device=device)
    masked_tokens = max(1, length // 8)
    trained = [each for each in model.parameters() if each.requires_grad]
    is_whole = len(trained) == len(list(model.parameters()))
    backward = bool(trained) and not is_whole

    def count(masked: int) -> int:
        labels = torch.full_like(ids, IGNORED)
        labels[:, :masked] = 0
        with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(backward):
            logits = head(model, {"input_ids": ids}, labels, pad=False).logits
            if backward:
                torch.autograd.grad(logits.float().sum(), trained, allow_unused=True)
        return (3 if is_whole else 1) * counter.get_total_flops()

    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    cuda = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=cuda):
            one, two = count(masked_tokens), count(2 * masked_tokens)
    except Exception as error:  # noqa: BLE001 - any model may fail in its own way
        logger.debug("the model's operations are not counted: %s", error)
        return None
    finally:
        for module, training in modes:
            module.training = training
    head_per_mask = (two - one) / masked_tokens
    return BlockFlops(body=one - head_per_mask * masked_tokens, head_per_mask=head_per_mask)


@dataclass(frozen=True)
class Peak:
    """The peak rate of a device in operations per second, and the source of the number."""

    flops: float
    source: str

    def __str__(self) -> str:
        unit, name = (1e12, "TFLOP/s") if self.flops >= 1e12 else (1e9, "GFLOP/s")
        return f"{self.flops / unit:,.0f} {name}, {self.source}"


@lru_cache(maxsize=8)
def peak_of(device: str, precision: str) -> Peak:
    """Return the peak rate of matrix multiplication: published for a known GPU, else measured.

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
    return Peak(_measure(device, dtype), f"matrix products in {precision}, measured")


def _measure(device: str, dtype: torch.dtype) -> float:
    """Multiply matrices for a moment and return the best rate."""
    # Accelerate numbers the CPUs of several processes, `cpu:0`.
    size = MATRIX if torch.device(device).type == "cpu" else 8 * MATRIX
    one, other = (torch.ones(size, size, dtype=dtype, device=device) for _ in range(2))
    best, start = float("inf"), time.perf_counter()
    rounds = 0
    while rounds < 4 or time.perf_counter() - start < _MEASURE_SECONDS:
        started = time.perf_counter()
        product = one @ other
        _synchronize(product)
        best = min(best, time.perf_counter() - started)
        rounds += 1
    return 2 * size**3 / best


def _synchronize(result: torch.Tensor) -> None:
    if result.device.type != "cpu":
        result[0, 0].item()
