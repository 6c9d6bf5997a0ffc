"""FNet: its two-dimensional Fourier transform as two matrix products a side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mlmfast.exporting.patches.forwards import replaced
from mlmfast.exporting.patches.fourier import real_transform, waves

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def patch(model: Any) -> AbstractContextManager[None]:
    """Replace the Fourier transforms of `model`."""
    return replaced(model, "FNetBasicFourierTransform", _transform)


def _transform(module: Any) -> Any:
    # With `use_tpu_fourier_optimizations` the matrices are the module's own, and the one of the
    # length is cut where the text is shorter than it.
    own = [
        (matrix.real.clone(), -matrix.imag)
        for matrix in (
            getattr(module, "dft_mat_seq", None),
            getattr(module, "dft_mat_hidden", None),
        )
        if matrix is not None
    ]

    def forward(hidden: torch.Tensor) -> tuple[torch.Tensor]:
        if own:
            length = hidden.shape[1]
            (cos, sin), by_width = own
            by_length = cos[:length, :length], sin[:length, :length]
        else:
            by_length, by_width = (
                waves(steps, steps, size)
                for size in hidden.shape[1:]
                for steps in (torch.arange(size, device=hidden.device),)
            )
        return (real_transform(hidden, by_length, by_width),)

    return forward
