"""Funnel: pooling and relative positions that follow the length."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch

from mlmfast.errors import InputError
from mlmfast.exporting.patches.forwards import replaced, replaced_name

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def patch(model: Any) -> Iterator[None]:
    """Replace the pooling, the relative positions and the repetition of pooled tokens of `model`.

    Raises:
        InputError: the model's attention is the factorized one, which decides by the length whether
            it pools at all.
    """
    from transformers.models.funnel import modeling_funnel

    kind = model.config.attention_type
    if kind != "relative_shift":
        raise InputError(
            f"A funnel model is exported with the attention_type relative_shift, not {kind}."
        )
    structure = "FunnelAttentionStructure"
    with ExitStack() as stack:
        stack.enter_context(replaced(model, structure, _pool, method="pool_tensor"))
        stack.enter_context(replaced(model, structure, _positions, method="get_position_embeds"))
        stack.enter_context(replaced_name(modeling_funnel, "upsample", _upsample))
        yield


def _pool(module: Any) -> Any:
    config = module.config

    def pool_tensor(tensor: Any, mode: str = "mean", stride: int = 2) -> Any:
        if tensor is None or isinstance(tensor, (tuple, list)):
            return tensor and type(tensor)(pool_tensor(part, mode, stride) for part in tensor)
        if config.separate_cls:
            rest = tensor[:, :-1] if config.truncate_seq else tensor
            tensor = torch.cat([tensor[:, :1], rest], dim=1)
        # Pairs of tokens; the last of an odd number is its own partner.
        length = tensor.shape[1]
        first = torch.arange(0, length, stride, device=tensor.device)
        second = torch.minimum(first + 1, torch.as_tensor(length - 1, device=tensor.device))
        a, b = tensor[:, first], tensor[:, second]
        if mode == "mean":
            return (a + b) / 2
        return torch.minimum(a, b) if mode == "min" else torch.maximum(a, b)

    return pool_tensor


def _positions(module: Any) -> Any:
    config = module.config
    half = config.d_model // 2

    def get_position_embeds(
        seq_len: Any, dtype: torch.dtype, device: torch.device
    ) -> list[list[torch.Tensor | None]]:
        frequencies = 1 / 10000 ** (torch.arange(half, device=device).to(dtype) / half)

        def between(pos: torch.Tensor, pooled: torch.Tensor, stride: int, shift: int) -> Any:
            farthest = pooled[0] - pos[0] + shift * pooled.shape[0] * stride
            # From the farthest down to the nearest, the last token before the first pooled one.
            count: Any = (farthest - pooled[0] + pos[-1]) // stride + 1
            distances = farthest - stride * torch.arange(count, device=device)
            angles = distances[:, None].to(dtype) * frequencies
            return torch.cat([angles.sin(), angles.cos()], dim=-1)

        pos = torch.arange(seq_len, device=device)
        every: list[list[torch.Tensor | None]] = [[between(pos, pos, 1, 1), None]]
        for block in range(1, config.num_blocks):
            pooled = _pooled(pos, block)
            pooling = between(pos, pooled, 2 ** (block - 1), 2)
            pos = pooled
            every.append([between(pos, pos, 2**block, 1), pooling])
        return every

    def _pooled(pos: torch.Tensor, block: int) -> torch.Tensor:
        if not config.separate_cls:
            return pos[::2]
        rest = pos[1:-1] if config.truncate_seq else pos[1:]
        # <cls> lies a whole block before the first.
        return torch.cat([pos.new_tensor([1 - 2**block]), rest[::2]])

    return get_position_embeds


def _upsample(
    x: torch.Tensor,
    stride: int,
    target_len: Any,
    separate_cls: bool = True,
    truncate_seq: bool = False,
) -> torch.Tensor:
    if stride == 1:
        return x
    first, rest = (x[:, :1], x[:, 1:]) if separate_cls else (x[:, :0], x)
    repeated = rest[:, :, None].expand(-1, -1, stride, -1).flatten(1, 2)
    if separate_cls and truncate_seq:
        repeated = torch.nn.functional.pad(repeated, (0, 0, 0, stride - 1))
    return torch.cat([first, repeated], dim=1)[:, :target_len]
