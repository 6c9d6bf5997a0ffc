"""The teacher's logits at masked tokens, reduced to the largest ones and the sum of the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence


class TopLogits(NamedTuple):
    """What is left of a teacher's logits `[M, V]` at M masked tokens.

    Attributes:
        ids: int64 `[M, K]`, the tokens with the largest logits, from the largest on.
        logits: `[M, K]`, their logits, in the dtype that the teacher computed.
        rest: float32 `[M]`, the log-sum-exp of all other logits divided by the temperature; None
            if K = V.
        hidden: `[M, H]`, the last hidden states, of which only the direction counts; None if they
            are not compared.
    """

    ids: torch.Tensor
    logits: torch.Tensor
    rest: torch.Tensor | None = None
    hidden: torch.Tensor | None = None


def without(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Return logits `[M, V]` with minus infinity at the tokens `ids`, int64 `[M, K]`."""
    return logits.scatter(1, ids, float("-inf"))


def log_rest(
    logits: torch.Tensor, ids: torch.Tensor, temperatures: Sequence[float]
) -> torch.Tensor:
    """Return the log-sum-exp of the logits of all tokens but `ids` at each temperature.

    Args:
        logits: `[M, V]`.
        ids: int64 `[M, K]`, K < V.
        temperatures: T of them.

    Returns:
        float32 `[M, T]`.
    """
    others = without(logits.float(), ids)
    return torch.stack([(others / each).logsumexp(1) for each in temperatures], dim=1)


def divergence_sum(student: torch.Tensor, teacher: TopLogits, temperature: float) -> torch.Tensor:
    """Sum KL(teacher || student) over masked tokens, with all other tokens as one.

    Each row is a distribution over K + 1 outcomes: the K tokens, and any other token. With K = V it
    is the divergence of the whole distributions; otherwise it is never larger than that.

    Args:
        student: logits `[M, V]`.
        teacher: the teacher's logits there.
        temperature: divides the logits of both.

    Returns:
        A scalar in nats.
    """
    scaled = student.float() / temperature
    ours, theirs = scaled.gather(1, teacher.ids), teacher.logits.float() / temperature
    if teacher.rest is not None:
        rest = without(scaled, teacher.ids).logsumexp(1, keepdim=True)
        ours = torch.cat([ours, rest], dim=1)
        theirs = torch.cat([theirs, teacher.rest[:, None]], dim=1)
    return functional.kl_div(
        functional.log_softmax(ours, dim=-1),
        functional.log_softmax(theirs, dim=-1),
        reduction="sum",
        log_target=True,
    )
