"""ESM: rotary tables made for every text, not kept from the text before, whose length they have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mlmfast.exporting.patches.forwards import replaced

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def patch(model: Any) -> AbstractContextManager[None]:
    """Replace the rotary tables of `model`."""
    return replaced(model, "RotaryEmbedding", _tables, method="_update_cos_sin_tables")


def _tables(module: Any) -> Any:
    def tables(x: torch.Tensor, seq_dimension: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
        steps = torch.arange(x.shape[seq_dimension], device=x.device).type_as(module.inv_freq)
        angles = torch.outer(steps, module.inv_freq)
        angles = torch.cat((angles, angles), dim=-1)[None, None]
        return angles.cos(), angles.sin()

    return tables
