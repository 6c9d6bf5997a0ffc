"""TAPAS: positions of plain text.

It counts positions from the first token of each table cell. A text is one cell, which begins at its
first token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mlmfast.exporting.patches.forwards import replaced

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def patch(model: Any) -> AbstractContextManager[None]:
    """Give the embeddings of `model` their positions."""
    return replaced(model, "TapasEmbeddings", _with_positions)


def _with_positions(module: Any) -> Any:
    plain = module.forward

    def forward(
        input_ids: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
    ) -> torch.Tensor:
        if position_ids is None:
            steps = torch.arange(input_ids.shape[1], device=input_ids.device)
            last = module.config.max_position_embeddings - 1
            position_ids = steps.clamp(max=last)[None].expand(input_ids.shape)
        embedded: torch.Tensor = plain(
            input_ids=input_ids,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
        )
        return embedded

    return forward
