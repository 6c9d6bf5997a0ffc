"""The loss over masked tokens, and what an evaluation counts."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

IGNORED = -100


def masked_loss_sum(
    logits: torch.Tensor, labels: torch.Tensor, *, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Sum the cross-entropy over the masked tokens; zero, with a gradient, when there are none.

    Args:
        logits: `[B, L, V]`.
        labels: int64 `[B, L]`, -100 where nothing is asked.
        label_smoothing: share of the target spread evenly over the vocabulary.
    """
    chosen = labels != IGNORED
    # The rows are picked before they are widened: 85 % of the logits never become fp32.
    return cross_entropy(
        logits[chosen].float(), labels[chosen], reduction="sum", label_smoothing=label_smoothing
    )


def row_counts(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Count, for each block of a batch, what perplexity and accuracy are made of.

    Args:
        logits: `[B, L, V]`.
        labels: int64 `[B, L]`, -100 where nothing is asked.

    Returns:
        float32 `[B, 4]`: summed loss in nats, hits of the best answer, hits among the best five,
        masked tokens.
    """
    chosen = labels != IGNORED
    picked, targets = logits[chosen].float(), labels[chosen]
    losses = cross_entropy(picked, targets, reduction="none")
    best = picked.topk(min(5, picked.shape[-1]), dim=-1).indices == targets[:, None]
    columns = (losses, best[:, 0].float(), best.any(-1).float(), torch.ones_like(losses))
    counts = torch.zeros(len(labels), len(columns), device=logits.device)
    return counts.index_add_(0, chosen.nonzero()[:, 0], torch.stack(columns, dim=-1))
