"""The loss of a student that learns from a teacher, as in DistilBERT (Sanh et al. 2019).

All parts are taken at the masked tokens only. (DistilBERT compares hidden states at all tokens.)
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from mlmfast.errors import InputError
from mlmfast.training.model.distillation.top_logits import TopLogits, divergence_sum
from mlmfast.training.model.loss import masked_loss_sum

if TYPE_CHECKING:
    from mlmfast.training.model.masked_rows import MaskedLogits
    from mlmfast.training.options.distillation import DistillationWeights


def distillation_sums(
    student: MaskedLogits,
    teacher: MaskedLogits | TopLogits | None,
    weights: DistillationWeights,
    *,
    label_smoothing: float = 0.0,
) -> dict[str, torch.Tensor]:
    """Sum each part of the loss over the masked tokens, without its weight.

    Args:
        student: logits, labels and hidden states of the student at M masked tokens; rows behind
            these, which pad to a shape, are ignored.
        teacher: the same of the teacher, or what was stored of it, without padding; None if the
            weights do not use it.
        weights: a part with the weight 0 is left out.
        label_smoothing: as in `masked_loss_sum`, for the part of the labels.

    Returns:
        Scalars in nats (the divergence and the cross-entropy) and in 1 - cosine: `distillation`,
        `mlm` and `hidden`.

    Raises:
        InputError: the hidden states cannot be compared.
    """
    sums = {}
    if weights.distillation and teacher is not None:
        rows = student.logits[: len(teacher.logits)]
        if isinstance(teacher, TopLogits):
            divergence = divergence_sum(rows, teacher, weights.temperature)
        else:
            divergence = _divergence_sum(rows, teacher, weights.temperature)
        sums["distillation"] = divergence * weights.temperature**2
    if weights.mlm:
        sums["mlm"] = masked_loss_sum(student, label_smoothing=label_smoothing)
    if weights.hidden and teacher is not None:
        sums["hidden"] = _hidden_sum(student.hidden, teacher.hidden)
    return sums


def weighted(sums: dict[str, torch.Tensor], weights: DistillationWeights) -> torch.Tensor:
    """Return the weighted sum of the parts that `distillation_sums` returns."""
    parts = [getattr(weights, name) * value for name, value in sums.items()]
    return torch.stack(parts).sum()


def comparable(
    weights: DistillationWeights, ours: int | None, theirs: int | None
) -> DistillationWeights:
    """Return the weights without that of the hidden states if their widths differ."""
    return weights if ours == theirs else replace(weights, hidden=0.0)


def _divergence_sum(
    student: torch.Tensor, teacher: MaskedLogits, temperature: float
) -> torch.Tensor:
    return functional.kl_div(
        functional.log_softmax(student.float() / temperature, dim=-1),
        functional.log_softmax(teacher.logits.float() / temperature, dim=-1),
        reduction="sum",
        log_target=True,
    )


def _hidden_sum(student: torch.Tensor | None, teacher: torch.Tensor | None) -> torch.Tensor:
    if student is None or teacher is None or student.shape[-1] != teacher.shape[-1]:
        shapes = [None if each is None else each.shape[-1] for each in (student, teacher)]
        raise InputError(
            f"The last hidden states of student and teacher (widths {shapes[0]} and {shapes[1]}) "
            "cannot be compared: train with hidden_weight 0 (--hidden-weight 0)."
        )
    rows = student[: len(teacher)].float()
    ones = torch.ones(len(rows), device=rows.device)
    return functional.cosine_embedding_loss(rows, teacher.float(), ones, reduction="sum")
