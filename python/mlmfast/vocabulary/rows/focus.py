"""Rows of new tokens as combinations of those of similar shared tokens, as in FOCUS.

Dobler & de Melo 2023, "FOCUS: Effective Embedding Initialization for Monolingual Specialization of
Multilingual Models": a new token is a combination of the tokens that both vocabularies have, with
the sparsemax of their similarities in an auxiliary space as weights. There, the space is that of
fastText, trained on the texts; here it is that of `cooccurrence`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from mlmfast.vocabulary.rows.cooccurrence import token_vectors

if TYPE_CHECKING:
    from mlmfast.data.tokenization.loaded import LoadedTokenizer
    from mlmfast.vocabulary.model.sources import Mixture
    from mlmfast.vocabulary.rows.initial import InitialRows
    from mlmfast.vocabulary.texts import SampleTexts

_AT_ONCE = 256


def by_similarity(
    rows: InitialRows, new: LoadedTokenizer, sample: SampleTexts
) -> tuple[InitialRows, dict[int, Mixture]]:
    """Return the rows that similarity decides, and the others as they were.

    A token that is too rare in the texts to have a vector keeps the mean of its old pieces.

    Args:
        rows: the rows by text.
        new: the new tokenizer.
        sample: texts, in which the similarity of tokens shows.

    Returns:
        `rows` without the tokens that similarity decides, and new id -> mixture of old ids.
    """
    vectors = token_vectors(new, sample)
    known = vectors.any(dim=1)
    anchors = torch.tensor([number for number in rows.shared if known[number]])
    chosen = [number for number in sorted({*rows.means, *rows.unknown}) if known[number]]
    mixtures: dict[int, Mixture] = {}
    if len(anchors):
        for at in range(0, len(chosen), _AT_ONCE):
            part = chosen[at : at + _AT_ONCE]
            weights = sparsemax(vectors[part] @ vectors[anchors].T)
            for number, row in zip(part, weights, strict=True):
                mixtures[number] = _mixture(row, anchors, rows.shared)
    return (
        replace(
            rows,
            means={number: one for number, one in rows.means.items() if number not in mixtures},
            unknown=rows.unknown - mixtures.keys(),
        ),
        mixtures,
    )


def _mixture(weights: torch.Tensor, anchors: torch.Tensor, shared: dict[int, int]) -> Mixture:
    mixture: Mixture = {}
    for at in weights.nonzero().flatten().tolist():
        old = shared[int(anchors[at])]
        mixture[old] = mixture.get(old, 0.0) + float(weights[at])
    return mixture


def sparsemax(scores: torch.Tensor) -> torch.Tensor:
    """Project each row onto the probabilities: the nearest point of the simplex, mostly zeros.

    Martins & Astudillo 2016, "From Softmax to Sparsemax".

    Args:
        scores: `[B, N]`.

    Returns:
        `[B, N]`; rows sum to one.

    Examples:
        >>> sparsemax(torch.tensor([[1.0, 0.5, -1.0]])).tolist()
        [[0.75, 0.25, 0.0]]
    """
    ordered, _ = scores.sort(dim=1, descending=True)
    sums = ordered.cumsum(1)
    count = torch.arange(1, scores.shape[1] + 1, device=scores.device)
    inside = 1 + count * ordered > sums
    support = inside.sum(1, keepdim=True)
    threshold = (sums.gather(1, support - 1) - 1) / support
    return (scores - threshold).clamp(min=0)
