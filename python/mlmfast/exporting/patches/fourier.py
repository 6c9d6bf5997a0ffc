"""Discrete Fourier transforms as products with matrices made for the length at run time.

torch's tracer knows no Fourier transform. As a product it costs length^2 instead of length *
log(length), which at the lengths of texts is little beside the rest of a layer.
"""

from __future__ import annotations

import math

import torch


def waves(
    times: torch.Tensor, frequencies: torch.Tensor, period: torch.Tensor | int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cos and sin of 2 pi * time * frequency / period, float32 [times, frequencies].

    Args:
        times: int64 [times].
        frequencies: int64 [frequencies].
        period: samples of the transform.
    """
    # Whole turns are taken off in integers: float32 has no digits left for them at length 512.
    turn = (times[:, None] * frequencies[None]) % period
    angle = turn.to(torch.float32) * (2 * math.pi) / period
    return torch.cos(angle), torch.sin(angle)


def real_transform(
    x: torch.Tensor,
    by_length: tuple[torch.Tensor, torch.Tensor],
    by_width: tuple[torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    """Return the real part of the transform of `[B, L, H]` over length and width.

    Args:
        x: float32 [B, L, H].
        by_length: cos and sin, [L, L].
        by_width: cos and sin, [H, H].
    """
    return by_length[0] @ (x @ by_width[0]) - by_length[1] @ (x @ by_width[1])


def convolve(x: torch.Tensor, after: torch.Tensor, before: torch.Tensor | None) -> torch.Tensor:
    """Convolve along the last axis with a kernel that reaches back in time, and one ahead.

    y[t] = sum over s of after[s] * x[t - s] + before[s] * x[t + s], x being 0 outside.

    Args:
        x: float32 [B, D, L].
        after: float32 [D, K], K <= L.
        before: the same, or None.

    Returns:
        float32 [B, D, L].
    """
    length = x.shape[-1]
    period = 2 * length  # so that no end of the kernel reaches round to the other end of x
    frequencies = torch.arange(length + 1, device=x.device)
    cos, sin = waves(torch.arange(length, device=x.device), frequencies, period)
    reach = after.shape[-1]
    even, odd = (after, -after) if before is None else (after + before, before - after)
    x_real, x_imaginary = x @ cos, -(x @ sin)
    k_real, k_imaginary = even @ cos[:reach], odd @ sin[:reach]
    y_real = x_real * k_real - x_imaginary * k_imaginary
    y_imaginary = x_real * k_imaginary + x_imaginary * k_real
    # The inverse over half of the frequencies: the other half is its mirror image.
    inner = (frequencies > 0) & (frequencies < length)
    weight = torch.where(inner, 2.0, 1.0) / period
    return (y_real * weight) @ cos.T - (y_imaginary * weight) @ sin.T
