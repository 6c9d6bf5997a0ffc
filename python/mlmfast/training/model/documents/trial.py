"""The rows on which a model proves that it keeps documents apart."""

from __future__ import annotations

import torch

from mlmfast.training.model.documents.layout import PADDING


def trial_ids(model: torch.nn.Module, input_ids: torch.Tensor) -> torch.Tensor:
    """Return two rows of a batch, int64 `[2, L]`, with other tokens in place of padding."""
    ids = input_ids[:2]
    if len(ids) < 2:
        ids = torch.cat([ids, ids.flip(1)])
    padding = getattr(getattr(model, "config", None), "pad_token_id", None)
    return ids if padding is None else torch.where(ids == padding, ids.max(), ids)


def trial_documents(ids: torch.Tensor, longest: int) -> torch.Tensor:
    """Divide two rows into documents of several lengths, with padding at the end of the second.

    Args:
        ids: `[2, L]`.
        longest: tokens of a document at most.

    Returns:
        As `Documents` takes them; three documents and two, or more if none may be as long.
    """
    length = ids.shape[1]
    document_ids = torch.full_like(ids, PADDING)
    shares = ((length // 3, length // 2, length), (length // 2, length // 4))
    for row, (lengths, end) in enumerate(zip(shares, (length, length * 3 // 4), strict=True)):
        start = number = 0
        while start < end:
            size = min(lengths[number % len(lengths)], longest, end - start)
            document_ids[row, start : start + size] = number
            start, number = start + size, number + 1
    return document_ids


def logits_alone(
    model: torch.nn.Module, ids: torch.Tensor, document_ids: torch.Tensor
) -> torch.Tensor:
    """Run a model on each document alone.

    Args:
        model: a masked language model of transformers.
        ids: int64 `[B, L]`.
        document_ids: `[B, L]`, as `Documents` takes them.

    Returns:
        The logits `[B, L, V]`, and 0 at padding.
    """
    logits = torch.zeros(0)
    for row, own in enumerate(document_ids):
        for document in range(int(own.max()) + 1):
            at = own == document
            found = model(input_ids=ids[row : row + 1, at]).logits[0]
            if not logits.numel():
                logits = found.new_zeros(*ids.shape, found.shape[-1])
            logits[row, at] = found
    return logits


def error_line(error: Exception) -> str:
    """Return the type and the first line of an error."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
