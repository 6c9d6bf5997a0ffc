"""Sparse vectors: the weights of words for a text, by the model or by a table of weights."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import InputError, MlmfastError
from mlmfast.options import check_choice
from mlmfast.serving.engine.sparse import prune
from mlmfast.serving.text.encode import encode_whole_texts
from mlmfast.serving.text.options import EncodeOptions
from mlmfast.serving.types import OutputSpec, SparseText

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlmfast.serving.engine.model import Model, SparseEngine
    from mlmfast.serving.tasks.base import Steps
    from mlmfast.serving.text.decoding import Decoder
    from mlmfast.serving.types import SparseVector

KINDS = ("document", "query")
# The graph takes an int64 and a float32; more words or a larger weight no text has.
_MOST_WORDS = int(np.iinfo(np.int64).max)
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class SparseOptions:
    """Which words of a text are kept.

    Attributes:
        top_k: how many of the heaviest; 0: all.
        threshold: what every weight exceeds.
        special_tokens: whether special tokens may have a weight.
    """

    top_k: int = 0
    threshold: float = 0.0
    special_tokens: bool = False

    @classmethod
    def checked(
        cls, top_k: int | None, threshold: float, *, special_tokens: bool = False
    ) -> SparseOptions:
        """Check the options of a call.

        Raises:
            TypeError: `top_k` is no integer, or `threshold` no number.
            InputError: a number is out of range.
        """
        if top_k is not None and (top_k := operator.index(top_k)) < 1:
            raise InputError(f"top_k must be at least 1, or None for all words, and is {top_k}.")
        try:
            threshold = float(threshold)
        except OverflowError:  # an integer that no float holds
            threshold = math.inf
        if not (math.isfinite(threshold) and threshold >= 0):
            raise InputError(f"threshold must be a number from 0 on, and is {threshold}.")
        return cls(min(top_k or 0, _MOST_WORDS), min(threshold, _LARGEST), special_tokens)

    def of_text(self, text: SparseText) -> SparseText:
        """Return a text with these options."""
        return replace(
            text,
            top_k=self.top_k,
            threshold=self.threshold,
            special_tokens=self.special_tokens,
        )


@dataclass(frozen=True, slots=True)
class SparseTask:
    """The checked options of a call whose texts are encoded by the model.

    Attributes:
        options: how texts are tokenized.
        kept: which words are kept.
    """

    options: EncodeOptions
    kept: SparseOptions

    @property
    def encode_key(self) -> EncodeOptions:
        """What `encode` depends on."""
        return self.options

    @property
    def output_spec(self) -> OutputSpec:
        """Nothing: each text has its own options."""
        return OutputSpec(per_text=True)

    def encode(
        self, texts: Sequence[Any], model: Model, *, first: int = 1, names: Callable[[int], str]
    ) -> list[SparseText | InputError]:
        """Tokenize texts, with their special tokens."""
        encoded = encode_whole_texts(
            texts, model.tokenizer, model.limits, self.options, first=first, names=names
        )
        return [
            self.with_options(text)
            if not isinstance(text, InputError) and len(text.ids)
            else _without_tokens(text, names(first + index))
            for index, text in enumerate(encoded)
        ]

    def answer_rows(self, _texts: Sequence[SparseText]) -> int:
        """Return how many rows the answers have: none, their size is bounded by their bytes."""
        return 0

    def with_options(self, text: SparseText) -> SparseText:
        """Return a text with the options of this task."""
        return self.kept.of_text(text)

    def answer(self, _text: SparseText, vector: SparseVector, _decoder: Decoder) -> SparseVector:
        """Return the vector of a text."""
        return vector


@dataclass(frozen=True, slots=True)
class QueryTableTask:
    """The checked options of a call whose texts are encoded by a table, without the model.

    Attributes:
        options: how texts are tokenized.
        kept: which words are kept.
    """

    options: EncodeOptions
    kept: SparseOptions

    @property
    def encode_key(self) -> EncodeOptions:
        """What `encode` depends on."""
        return self.options

    @property
    def cost_unit(self) -> str:
        """What each pass of the model is for, for messages; there is none."""
        return "none for any query"

    def encode(
        self, texts: Sequence[Any], model: Model, *, first: int = 1, names: Callable[[int], str]
    ) -> list[SparseText | InputError]:
        """Tokenize texts, without special tokens."""
        return encode_whole_texts(
            texts, model.tokenizer, model.limits, self.options, first=first, names=names
        )

    def rows(self, _text: SparseText) -> int:
        """Return how many rows the answer to a text has: none."""
        return 0

    def passes(self, _text: SparseText) -> int:
        """Return how many passes of the model a text needs: none."""
        return 0

    def steps(self, text: SparseText, model: Model) -> Steps[SparseVector]:
        """Look up the weights; there is no step that runs the model."""
        sparse = sparse_of(model)
        if sparse.queries is None:
            raise MlmfastError("The model encodes queries itself and has no table of weights.")
        yield from ()
        vector = sparse.queries.vector(text.ids)
        return prune(vector, self.kept.of_text(text), sparse.graph.special_ids)


def sparse_task(
    model: Model,
    kind: str = "document",
    *,
    top_k: int | None = None,
    threshold: float = 0.0,
    special_tokens: bool = False,
    truncate: bool = True,
) -> SparseTask | QueryTableTask:
    """Check the options of a call.

    Args:
        model: the model.
        kind: "document", or "query", which a table of weights may encode.
        top_k: as for `SparseEncoder`.
        threshold: as for `SparseEncoder`.
        special_tokens: as for `SparseEncoder`.
        truncate: as for `SparseEncoder`.

    Raises:
        InputError: a number is out of range, or the model is open for fill-mask alone.
        TypeError: `top_k` is no integer.
    """
    check_choice("kind", kind, KINDS)
    sparse = sparse_of(model)
    if top_k is None:
        top_k = sparse.graph.top_k or None
    kept = SparseOptions.checked(top_k, threshold, special_tokens=special_tokens)
    by_table = kind == "query" and sparse.queries is not None
    options = EncodeOptions(
        add_special_tokens=not by_table,
        truncation=truncate and (model.limits.max_length or sparse.graph.cut_at) is not None,
        max_length=sparse.graph.cut_at,
    )
    return QueryTableTask(options, kept) if by_table else SparseTask(options, kept)


def sparse_of(model: Model) -> SparseEngine:
    """Return what encodes sparse vectors.

    Raises:
        InputError: the folder of the model has no sparse.onnx.
    """
    if model.sparse is None:
        raise InputError(
            f"The model in {model.folder.path.name} was exported for fill-mask alone. This writes "
            "it with its sparse encoder: mlmfast export CHECKPOINT ONNX_FOLDER --task sparse"
        )
    return model.sparse


def _without_tokens(text: SparseText | InputError, name: str) -> InputError:
    if isinstance(text, InputError):
        return text
    return InputError(f"{name} has no token: it is empty, and the tokenizer adds none.")
