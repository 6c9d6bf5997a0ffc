"""The loss over masked tokens, and what an evaluation counts."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from mlmfast.training.model.masked_head import IGNORED, MaskedLogits


def masked_loss_sum(masked: MaskedLogits, *, label_smoothing: float = 0.0) -> torch.Tensor:
    """Sum the cross-entropy over the masked tokens; zero, with a gradient, when there are none.

    Args:
        masked: the logits of M masked tokens and their labels; those of -100 count nothing.
        label_smoothing: share of the target spread evenly over the vocabulary.
    """
    return cross_entropy(
        masked.logits.float(),
        masked.targets,
        reduction="sum",
        ignore_index=IGNORED,
        label_smoothing=label_smoothing,
    )


def per_block_metrics(masked: MaskedLogits, blocks: int) -> torch.Tensor:
    """Count, for each block of a batch, what perplexity and accuracy are made of.

    Args:
        masked: the logits of M masked tokens, their labels and their blocks.
        blocks: number of blocks B in the batch.

    Returns:
        float32 `[B, 4]`: summed loss in nats, hits of the best answer, hits among the best five,
        masked tokens.
    """
    logits, targets, rows = masked.logits.float(), masked.targets, masked.rows
    losses = cross_entropy(logits, targets, reduction="none", ignore_index=IGNORED)
    best = logits.topk(min(5, logits.shape[-1]), dim=-1).indices == targets[:, None]
    asked = (targets != IGNORED).float()
    columns = (losses, best[:, 0].float(), best.any(-1).float(), asked)
    counts = torch.zeros(blocks, len(columns), device=logits.device)
    return counts.index_add_(0, rows, torch.stack(columns, dim=-1))
