"""Mega: moving averages without a fast Fourier transform, and position biases of any length."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch

from mlmfast.exporting.patches.forwards import replaced
from mlmfast.exporting.patches.fourier import convolve

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def patch(model: Any) -> Iterator[None]:
    """Replace the moving averages, the simple position biases and the softmax of `model`."""
    with ExitStack() as stack:
        stack.enter_context(replaced(model, "MegaMultiDimensionDampedEma", _moving_average))
        stack.enter_context(replaced(model, "MegaSimpleRelativePositionalBias", _simple_bias))
        if model.config.attention_activation == "softmax":
            kind, method = "MegaMovingAverageGatedAttention", "attention_function"
            stack.enter_context(replaced(model, kind, _softmax, method=method))
        yield


def _moving_average(module: Any) -> Any:
    def forward(
        inputs: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        prev_state: None = None,  # noqa: ARG001 - the module's signature
        use_cache: bool = False,  # noqa: ARG001 - decoding alone caches
    ) -> tuple[torch.Tensor, None]:
        length = inputs.shape[0]
        x = inputs.permute(1, 2, 0)
        if attention_mask is not None:
            x = x * attention_mask.unsqueeze(1).type_as(x)
        # Afresh: the module would keep the kernel of the longest text it has seen, a constant.
        kernel = module._compute_efficient_ema_kernel(length)  # noqa: SLF001 - its formula
        if module.truncation is not None:
            kernel = kernel[:, : module.truncation]
        width = module.embed_dim
        before = kernel[width:] if module.bidirectional else None
        moved = convolve(x, kernel[:width], before)
        residual = inputs * module.residual_weight
        return torch.nn.functional.silu(moved.permute(2, 0, 1) + residual), None

    return forward


def _simple_bias(module: Any) -> Any:
    def forward(length: Any) -> torch.Tensor:
        steps = torch.arange(length, device=module.rel_pos_bias.device)
        return module.rel_pos_bias[module.max_positions - 1 + steps[None] - steps[:, None]]

    return forward


def _softmax(module: Any) -> Any:
    # The module's own takes the mask's numbers for truth values, which ONNX does not.
    def attend(
        query: torch.Tensor,
        key: torch.Tensor,
        padding_mask: torch.Tensor | None,
        causal_mask: None,  # noqa: ARG001 - an encoder has none
    ) -> torch.Tensor:
        scores = query * module.scaling @ key.transpose(2, 3) + module.rel_pos_bias(key.shape[2])
        if padding_mask is not None:
            hidden = padding_mask == 0
            some = padding_mask.sum(dim=-1, keepdim=True) > 0
            scores = scores.masked_fill((hidden & some).unsqueeze(2), -torch.inf)
        return torch.softmax(scores, dim=-1)

    return attend
