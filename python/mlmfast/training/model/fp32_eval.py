"""Evaluation of a model in full precision, for trials that compare two ways to run it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class _WithoutAutocast(TorchFunctionMode):
    """Disables autocast around every function of torch, also inside of another autocast context.

    accelerate wraps the `forward` of a model that trains in half precision in autocast, which a
    context outside of it cannot disable.
    """

    def __init__(self, device: str) -> None:
        super().__init__()
        self._device = device

    def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch.autocast(self._device, enabled=False):
            return func(*args, **(kwargs or {}))


@contextmanager
def fp32_eval(model: torch.nn.Module, device: torch.device) -> Iterator[None]:
    """Evaluate in full precision; restore modes and random state on exit."""
    modes = [(module, module.training) for module in model.modules()]
    precision = torch.get_float32_matmul_precision()
    devices = [device] if device.type == "cuda" else []
    model.eval()
    torch.set_float32_matmul_precision("highest")
    try:
        with (
            torch.random.fork_rng(devices),
            torch.no_grad(),
            torch.autocast(device.type, enabled=False),
            _WithoutAutocast(device.type),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
        for module, training in modes:
            module.training = training


def two_rows(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return two rows of a batch; with an attention mask, the second ends in padding."""
    few = {name: tensor[:2] for name, tensor in inputs.items()}
    mask = few.get("attention_mask")
    if mask is not None and mask.dim() == 2 and len(mask) > 1:
        few["attention_mask"] = mask.clone()
        few["attention_mask"][1, -(mask.shape[1] // 8) :] = 0
    return few
