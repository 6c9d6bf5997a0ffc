"""The masked rows of a batch: where they are, and the logits there."""

from __future__ import annotations

from typing import NamedTuple

import torch

IGNORED = -100


class MaskedLogits(NamedTuple):
    """The logits of a model at the masked positions of a batch.

    Attributes:
        logits: `[M, V]`, in the order of the positions.
        targets: int64 `[M]`, the labels there; -100 at rows that pad to a shape.
        rows: int64 `[M]`, the blocks of the batch that they are from.
        hidden: `[M, H]`, the last hidden states there, as the head receives them; None unless they
            are kept.
    """

    logits: torch.Tensor
    targets: torch.Tensor
    rows: torch.Tensor
    hidden: torch.Tensor | None = None


def at_masks(
    logits: torch.Tensor, labels: torch.Tensor, positions: torch.Tensor | None = None
) -> MaskedLogits:
    """Select the masked positions from all logits.

    Args:
        logits: `[B, L, V]`.
        labels: int64 `[B, L]`, -100 at positions that are not masked.
        positions: int64 `[M]`, from `find_positions`.
    """
    if positions is None:
        positions = find_positions(labels)
    picked = logits.reshape(-1, logits.shape[-1])[positions]
    return MaskedLogits(picked, labels.flatten()[positions], positions // labels.shape[1])


def find_positions(labels: torch.Tensor) -> torch.Tensor:
    """Return where labels `[B, L]` are not -100: int64 `[M]`, ascending, flat into `B * L`.

    The shape depends on the data: on a GPU this synchronizes.
    """
    return (labels.flatten() != IGNORED).nonzero()[:, 0]


def pad_rows(
    positions: torch.Tensor, targets: torch.Tensor, tokens: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad the rows to a multiple of about 3 % of the batch, with row 0 and no label.

    Without it, the number differs from batch to batch and would be compiled as dynamic; and a batch
    without masked tokens would have no rows at all.
    """
    step = max(8, 1 << (tokens // 64).bit_length())
    missing = max(step, -(-len(positions) // step) * step) - len(positions)
    pad = torch.nn.functional.pad
    return pad(positions, (0, missing)), pad(targets, (0, missing), value=IGNORED)
