"""Fill-mask: each mask of a text by itself, in one pass of the model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import InputError
from mlmfast.serving.tasks.multi_token_targets import WholeTargetsTask, target_pieces
from mlmfast.serving.tasks.rows import best_targets, fill_mask_rows
from mlmfast.serving.text.encode import encode_texts
from mlmfast.serving.text.options import EncodeOptions, rows_per_mask
from mlmfast.serving.types import MaskedText, OutputSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mlmfast.serving.engine.model import Model
    from mlmfast.serving.tasks.rows import Answer
    from mlmfast.serving.text.decoding import Decoder
    from mlmfast.serving.types import Predictions


@dataclass(frozen=True, slots=True)
class FillMaskTask:
    """The checked options of a fill-mask call.

    Attributes:
        rows: rows of each mask.
        options: how texts are encoded.
        targets: the only ids to choose from, int64, ascending; None: all.
    """

    rows: int
    options: EncodeOptions
    targets: np.ndarray | None = None

    @property
    def encode_key(self) -> EncodeOptions:
        """What `encode` depends on."""
        return self.options

    @property
    def output_spec(self) -> OutputSpec:
        """What to predict at each mask."""
        return (
            OutputSpec(top_k=self.rows)
            if self.targets is None
            else OutputSpec(targets=self.targets)
        )

    def encode(
        self, texts: Sequence[Any], model: Model, *, first: int = 1, names: Callable[[int], str]
    ) -> list[MaskedText | InputError]:
        """Tokenize texts and find their masks."""
        return encode_texts(
            texts, model.tokenizer, model.limits, self.options, first=first, names=names
        )

    def answer_rows(self, masked_texts: Sequence[MaskedText]) -> int:
        """Return how many rows the answers have."""
        return self.rows * sum(len(masked_text.masks) for masked_text in masked_texts)

    def with_options(self, masked_text: MaskedText) -> MaskedText:
        """Return the masked text with the options of this task, for `OutputSpec.per_text`."""
        return replace(masked_text, top_k=self.rows, targets=self.targets)

    def answer(self, masked_text: MaskedText, predictions: Predictions, decoder: Decoder) -> Answer:
        """Return the rows of one text."""
        if self.targets is not None:
            predictions = best_targets(predictions, self.rows)
        return fill_mask_rows(masked_text, predictions, decoder)


def fill_mask_task(
    model: Model,
    top_k: int | None = 5,
    targets: str | Iterable[str] | None = None,
    *,
    whole_targets: bool = False,
    tokenizer_kwargs: Mapping[str, Any] | None = None,
) -> FillMaskTask | WholeTargetsTask:
    """Check the options of a call.

    Raises:
        InputError: no target has a token, or a number is out of range.
        TypeError: a keyword that is not known, or a `top_k` that is no integer.
    """
    options = EncodeOptions.from_keywords(tokenizer_kwargs)
    vocab_size = model.limits.vocab_size
    if targets is None:
        if whole_targets:
            raise InputError("whole_targets says how targets are scored, and there are none.")
        return FillMaskTask(rows_per_mask(top_k, vocab_size, None), options)
    if whole_targets:
        pieces = target_pieces(targets, model.tokenizer)
        _require_known(max(map(max, pieces)), vocab_size)
        return WholeTargetsTask.checked(
            rows_per_mask(top_k, vocab_size, len(pieces)), options, pieces
        )
    ids = model.tokenizer.target_ids(targets)
    _require_known(ids[-1], vocab_size)
    return FillMaskTask(
        rows_per_mask(top_k, vocab_size, len(ids)), options, np.array(ids, np.int64)
    )


def _require_known(token: int, vocab_size: int) -> None:
    if token >= vocab_size:
        raise InputError(
            f"A target has the token {token}, and this model knows {vocab_size}: the tokenizer "
            "beside the graph belongs to another model."
        )
