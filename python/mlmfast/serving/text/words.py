"""The words of sparse vectors: ids as the tokens of the vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.serving.text.tokenizer import ServingTokenizer
    from mlmfast.serving.types import SparseVector


class Words:
    """The tokens of ids as the vocabulary writes them, each looked up once."""

    def __init__(self, tokenizer: ServingTokenizer):
        self._tokenizer = tokenizer
        self._known: dict[int, str] = {}

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Return the tokens of ids."""
        known = self._known
        for number in ids:
            if number not in known:
                known[number] = self._tokenizer.vocabulary_token(number)
        return [known[number] for number in ids]

    def weights(self, vector: SparseVector) -> dict[str, float]:
        """Return a vector as {token: weight}, the heaviest first."""
        order = heaviest_first(vector)
        tokens = self.tokens(vector.ids[order].tolist())
        return dict(zip(tokens, vector.weights[order].tolist(), strict=True))

    def lists(self, vector: SparseVector) -> dict[str, list[Any]]:
        """Return a vector as its ids, their tokens and their weights, the heaviest first."""
        order = heaviest_first(vector)
        ids = vector.ids[order].tolist()
        return {"ids": ids, "tokens": self.tokens(ids), "weights": vector.weights[order].tolist()}


def heaviest_first(vector: SparseVector) -> np.ndarray:
    """Return the order of a vector's words by weight, equal ones by id."""
    order: np.ndarray = np.argsort(-vector.weights, kind="stable")
    return order
