"""The weights of a query's tokens, with which it is encoded without a model: idf.json."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmfast.errors import InputError, NotFoundError
from mlmfast.serving.folder import read_json
from mlmfast.serving.types import SparseVector

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.serving.text.tokenizer import ServingTokenizer

_FILE = "idf.json"


class QueryTable:
    """Weights of tokens: a query has those of the tokens that occur in it, each once.

    Args:
        weights: float32 [vocabulary].
    """

    def __init__(self, weights: np.ndarray):
        self._weights = weights

    @classmethod
    def open(cls, folder: Path, tokenizer: ServingTokenizer, vocab_size: int) -> QueryTable:
        """Read idf.json, {token: weight}, of an ONNX folder.

        Raises:
            NotFoundError: it is not there.
            InputError: it is damaged, or has weights of tokens that the tokenizer does not know.
        """
        file = folder / _FILE
        if not file.is_file():
            raise NotFoundError(
                f"{folder} has no {_FILE}, and the queries of its model are encoded by that table. "
                "Copy it from the folder that `mlmfast export --task sparse` wrote, or export the "
                "model again."
            )
        weights = np.zeros(vocab_size, np.float32)
        for token, weight in read_json(file).items():
            number = tokenizer.token_id(token)
            is_weight = isinstance(weight, int | float) and not isinstance(weight, bool)
            if number is None or number >= vocab_size or not is_weight:
                raise InputError(
                    f"{file} gives {token!r} the weight {weight!r}; it must give numbers to tokens "
                    "of the tokenizer beside it."
                )
            weights[number] = weight
        return cls(weights)

    def vector(self, ids: np.ndarray) -> SparseVector:
        """Return the vector of a query with these tokens."""
        words = np.unique(ids[ids < len(self._weights)])
        weights = self._weights[words]
        positive = weights > 0
        return SparseVector(words[positive], weights[positive])
