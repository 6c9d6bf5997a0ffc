"""Reformer: texts no longer than a chunk, where its attention is plain attention.

Longer texts are hashed with random numbers drawn at every call, so that no graph could agree.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from mlmfast.exporting.patches.forwards import replaced

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def patch(model: Any) -> Iterator[None]:
    """Replace the reversible encoder of `model`, which no tracer follows, and axial positions."""
    with ExitStack() as stack:
        stack.enter_context(replaced(model, "ReformerEncoder", _encoder))
        stack.enter_context(replaced(model, "AxialPositionEmbeddings", _axial_positions))
        yield


def _encoder(module: Any) -> Any:
    def forward(
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        head_mask: Any = None,
        num_hashes: int | None = None,
        orig_sequence_length: Any = None,
        **_unused: Any,
    ) -> Any:
        left = right = hidden_states
        # Before transformers 5 a layer takes a mask of its heads, and must be given it.
        masks = [{"head_mask": mask} for mask in head_mask or ()] or [{} for _ in module.layers]
        for layer, mask in zip(module.layers, masks, strict=True):
            attended = layer.attention(
                **mask,
                hidden_states=right,
                attention_mask=attention_mask,
                num_hashes=num_hashes,
                orig_sequence_length=orig_sequence_length,
            )
            left = left + attended.hidden_states
            right = right + layer.feed_forward(left)
        normed = module.layer_norm(torch.cat([left, right], dim=-1))
        return SimpleNamespace(
            hidden_states=normed,
            all_hidden_states=None,
            all_attentions=None,
            past_buckets_states=None,
        )

    return forward


def _axial_positions(module: Any) -> Any:
    def forward(position_ids: torch.Tensor) -> torch.Tensor:
        shape = module.axial_pos_shape
        every = [weight.expand(1, *shape, weight.shape[-1]) for weight in module.weights]
        table = torch.cat(every, dim=-1).flatten(0, len(shape))
        return table[position_ids]

    return forward
