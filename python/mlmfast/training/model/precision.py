"""The precision of a training or an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import torch

from mlmfast.errors import InputError

Precision = Literal["auto", "fp32", "bf16"]
_PRECISIONS = ("auto", "fp32", "bf16")

# CPU flags of bf16 matrix multiplication in hardware: AVX-512 and AMX (x86), BF16 (Arm).
_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


class Choice(NamedTuple):
    """The precision, `fp32` or `bf16`, and the reason, as the end of a sentence."""

    name: str
    reason: str


def choose_precision(precision: str, device: str) -> Choice:
    """Choose fp32 or bf16 (autocast: weights and optimizer stay fp32) for a device.

    Args:
        precision: `auto` takes bf16 if the hardware computes in it; `fp32` and `bf16` are used as
            given.
        device: a torch device type, `cpu`, `cuda` ...

    Raises:
        InputError: an unknown precision, or bf16 on a GPU without it.
    """
    if precision not in _PRECISIONS:
        raise InputError(f"precision is {precision!r}; expected one of {', '.join(_PRECISIONS)}.")
    capable = has_bf16(device)
    if precision == "bf16" and not capable and device != "cpu":
        raise InputError(f"This {device} device does not compute in bf16; use precision fp32.")
    if precision != "auto":
        return Choice(precision, "set by precision")
    if capable:
        return Choice("bf16", f"this {device} computes in bf16")
    return Choice("fp32", f"this {device} does not compute in bf16")


def has_bf16(device: str, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether the device multiplies bf16 matrices in hardware."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device != "cpu" or not cpuinfo.is_file():
        return False
    for line in cpuinfo.read_text(errors="replace").splitlines():
        key, _, flags = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return not _BF16_FLAGS.isdisjoint(flags.split())
    return False


def default_device() -> str:
    """Return the default device type of training and evaluation."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
