"""The loss over masked tokens, and the counts of an evaluation."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from mlmfast.training.model.masked_rows import IGNORED, MaskedLogits


def masked_loss_sum(masked: MaskedLogits, *, label_smoothing: float = 0.0) -> torch.Tensor:
    """Sum the cross-entropy over the masked tokens; zero, with a gradient, when there are none.

    Args:
        masked: the logits of M masked tokens and their labels; a label of -100 is ignored.
        label_smoothing: share of the target that is spread evenly over the vocabulary.
    """
    return cross_entropy(
        masked.logits.float(),
        masked.targets,
        reduction="sum",
        ignore_index=IGNORED,
        label_smoothing=label_smoothing,
    )


def per_block_metrics(masked: MaskedLogits, blocks: int) -> torch.Tensor:
    """Compute the sums behind perplexity and accuracy for each block of a batch.

    Args:
        masked: the logits of M masked tokens, their labels and their blocks.
        blocks: number of blocks B in the batch.

    Returns:
        float32 `[B, 4]`: summed loss in nats, top-1 hits, top-5 hits, masked tokens.
    """
    logits, targets, rows = masked.logits.float(), masked.targets, masked.rows
    losses = cross_entropy(logits, targets, reduction="none", ignore_index=IGNORED)
    hits = logits.topk(min(5, logits.shape[-1]), dim=-1).indices == targets[:, None]
    is_masked = (targets != IGNORED).float()
    columns = (losses, hits[:, 0].float(), hits.any(-1).float(), is_masked)
    counts = torch.zeros(blocks, len(columns), device=logits.device)
    return counts.index_add_(0, rows, torch.stack(columns, dim=-1))
