"""Bits per byte of a model on texts, which compare between tokenizers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mlmfast.data.prepare.api import prepare
from mlmfast.torch_models import max_input_length
from mlmfast.training.evaluation.evaluate import evaluate

if TYPE_CHECKING:
    from mlmfast.data.store.store import BlockStore
    from mlmfast.data.tokenization.loaded import LoadedTokenizer
    from mlmfast.training.evaluation.metrics import Evaluation
    from mlmfast.vocabulary.texts import SampleTexts

_BLOCK_SIZE = 128


def evaluate_on(
    model: Any, tokenizer: LoadedTokenizer, sample: SampleTexts, most: int
) -> Evaluation:
    """Evaluate a model on the first texts of a sample, about `most` bytes of them."""
    positions = max_input_length(model)
    length = _BLOCK_SIZE if positions is None else min(_BLOCK_SIZE, positions.usable)
    with tempfile.TemporaryDirectory() as folder:
        store = prepare(
            sample.first(most),
            Path(folder) / "blocks",
            tokenizer=tokenizer,
            block_size=length,
            remainder="pad",  # both tokenizers get the whole text
        )
        return evaluate(model, cast("BlockStore", store))
