"""DistilBERT's loss in plain PyTorch, on all rows of both models, and the gradients of any loss."""

from __future__ import annotations

import torch
from torch import nn

TEMPERATURE, DISTILLATION, MLM, HIDDEN = 2.0, 5.0, 2.0, 1.0


def dense_parts(student, teacher, inputs, labels):
    """Return the divergence, the cross-entropy and 1 - cosine, each a mean over masked tokens."""
    masked = labels != -100
    with torch.no_grad():
        theirs = teacher(**inputs).logits[masked]
        their_hidden = teacher.base_model(**inputs)[0][masked]
    logits = student(**inputs).logits
    hidden = student.base_model(**inputs)[0][masked]
    divergence = nn.KLDivLoss(reduction="batchmean")(
        torch.log_softmax(logits[masked] / TEMPERATURE, dim=-1),
        torch.softmax(theirs / TEMPERATURE, dim=-1),
    )
    labelled = nn.CrossEntropyLoss()(logits.flatten(0, 1), labels.flatten())
    alike = torch.ones(len(hidden))
    cosine = nn.CosineEmbeddingLoss(reduction="mean")(hidden, their_hidden, alike)
    return divergence * TEMPERATURE**2, labelled, cosine


def dense_loss(student, teacher, inputs, labels):
    parts = dense_parts(student, teacher, inputs, labels)
    return sum(
        weight * part for weight, part in zip((DISTILLATION, MLM, HIDDEN), parts, strict=True)
    )


def gradients(model, loss):
    """Return the gradients of a loss by parameter name; the model has none before and after."""
    loss.backward()
    found = {
        name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None
    }
    model.zero_grad(set_to_none=True)
    return found
