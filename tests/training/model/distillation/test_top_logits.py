"""The divergence from a teacher of which only the largest logits are known."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mlmfast.training.model.distillation.top_logits import TopLogits, divergence_sum, log_rest
from tolerances import KERNELS, SUMS

ROWS, TOKENS = 7, 50
TEMPERATURES = (1.0, 2.0, 3.0)


def logits(seed, scale=4.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(ROWS, TOKENS, generator=generator)


def stored(teacher, count, temperature):
    values, ids = teacher.topk(count, dim=1)
    if count == TOKENS:
        return TopLogits(ids, values)
    rest = log_rest(teacher, ids, TEMPERATURES)[:, TEMPERATURES.index(temperature)]
    return TopLogits(ids, values, rest)


def plain(student, teacher, count, temperature):
    """The same from probabilities in double precision: one outcome for all other tokens."""
    ours = torch.softmax(student.double() / temperature, dim=1)
    theirs = torch.softmax(teacher.double() / temperature, dim=1)
    ids = theirs.topk(count, dim=1).indices
    outcomes = []
    for each in (ours, theirs):
        top = each.gather(1, ids)
        rest = 1 - top.sum(1, keepdim=True)
        outcomes.append(top if count == TOKENS else torch.cat([top, rest], dim=1))
    ours, theirs = outcomes
    return (theirs * (theirs.log() - ours.log())).sum()


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("count", [1, 8, TOKENS - 1, TOKENS])
def test_it_is_the_divergence_over_the_known_tokens_and_any_other(count, temperature):
    student, teacher = logits(1).requires_grad_(), logits(2)
    found = divergence_sum(student, stored(teacher, count, temperature), temperature)
    own = torch.autograd.grad(found, student)[0]
    expected = plain(student, teacher, count, temperature)
    assert found.item() == pytest.approx(expected.item(), rel=KERNELS)
    assert torch.allclose(own, torch.autograd.grad(expected, student)[0].float(), atol=KERNELS)


def test_with_all_tokens_it_is_the_divergence_of_the_whole_distributions():
    student, teacher = logits(1), logits(2)
    whole = nn.KLDivLoss(reduction="sum")(
        torch.log_softmax(student / 2, dim=1), torch.softmax(teacher / 2, dim=1)
    ).item()
    assert divergence_sum(student, stored(teacher, TOKENS, 2.0), 2.0).item() == pytest.approx(
        whole, rel=SUMS
    )
    less = [divergence_sum(student, stored(teacher, k, 2.0), 2.0).item() for k in (1, 8, 40)]
    assert less == sorted(less)
    assert less[-1] < whole


def test_a_student_that_agrees_has_no_divergence_and_no_gradient():
    student, teacher = logits(2).requires_grad_(), logits(2)
    found = divergence_sum(student, stored(teacher, 5, 2.0), 2.0)
    assert found.item() == pytest.approx(0, abs=SUMS)
    assert torch.autograd.grad(found, student)[0].abs().max() < SUMS


def test_certain_models_have_a_finite_divergence():
    """The rest of a probability that rounds to 1 is still known: its logarithm is stored."""
    student, teacher = logits(1, scale=60.0).requires_grad_(), logits(2, scale=60.0)
    found = divergence_sum(student, stored(teacher, 8, 1.0), 1.0)
    assert found.isfinite()
    assert torch.autograd.grad(found, student)[0].isfinite().all()
