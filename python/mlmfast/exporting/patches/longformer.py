"""Longformer: local attention as plain attention under a band, for texts without global tokens.

Its own form works on chunks of a text padded to a multiple of the window, and freezes their number.
Under a band the text needs no padding, so short texts cost less; texts of many windows cost more,
for the scores are length^2.
"""

from __future__ import annotations

import math
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch

from mlmfast.exporting.patches.forwards import replaced

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def patch(model: Any) -> Iterator[None]:
    """Replace the attention of `model`, and its padding to windows, there and back."""
    with ExitStack() as stack:
        stack.enter_context(replaced(model, "LongformerEncoder", _encoder))
        stack.enter_context(replaced(model, "LongformerSelfAttention", _banded))
        stack.enter_context(
            replaced(model, "LongformerModel", _unpadded, method="_pad_to_window_size")
        )
        yield


def _encoder(module: Any) -> Any:
    from transformers.models.longformer.modeling_longformer import LongformerBaseModelOutput

    def forward(
        hidden_states: torch.Tensor, attention_mask: torch.Tensor, **_unused: Any
    ) -> LongformerBaseModelOutput:
        for layer in module.layer:
            (hidden_states,) = layer(
                hidden_states, attention_mask=attention_mask, is_index_masked=attention_mask < 0
            )
        return LongformerBaseModelOutput(last_hidden_state=hidden_states)

    return forward


def _banded(module: Any) -> Any:
    reach = module.one_sided_attn_window_size

    def heads(x: torch.Tensor) -> torch.Tensor:
        batch, length, _ = x.shape
        return x.view(batch, length, module.num_heads, module.head_dim).transpose(1, 2)

    def forward(
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor,
        is_index_masked: torch.Tensor,
        **_unused: Any,
    ) -> tuple[torch.Tensor]:
        query = heads(module.query(hidden_states) / math.sqrt(module.head_dim))
        scores = query @ heads(module.key(hidden_states)).transpose(2, 3)
        lowest = torch.finfo(scores.dtype).min
        padding = torch.where(attention_mask != 0, lowest, 0.0)
        steps = torch.arange(hidden_states.shape[1], device=scores.device)
        near = (steps[None] - steps[:, None]).abs() <= reach
        scores = torch.where(near, scores + padding[:, None, None], -torch.inf)
        shares = torch.softmax(scores, dim=-1)
        shares = shares * (~is_index_masked)[:, None, :, None].to(shares.dtype)
        mixed = shares @ heads(module.value(hidden_states))
        return (mixed.transpose(1, 2).reshape(hidden_states.shape),)

    return forward


def _unpadded(_module: Any) -> Any:
    def pad_to_window_size(
        input_ids: Any,
        attention_mask: Any,
        token_type_ids: Any,
        position_ids: Any,
        inputs_embeds: Any,
        pad_token_id: int,  # noqa: ARG001 - the method's signature
    ) -> tuple[Any, ...]:
        return 0, input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds

    return pad_to_window_size
