"""The inputs of fill_mask.onnx beside the tokens, and its outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import MlmfastError
from mlmfast.serving.types import Batch, BatchPredictions, Predictions

if TYPE_CHECKING:
    from collections.abc import Sequence

_NO_TARGETS = np.zeros(0, np.int64)


def feed_for(batch: Batch, least_top_k: int = 0) -> dict[str, Any]:
    """Return the graph's inputs beside the tokens: mask positions, top_k and targets.

    Args:
        batch: the batch.
        least_top_k: the `top_k` of a batch that needs none; its best tokens are not read.
    """
    return {
        "mask_positions": batch.positions,
        "top_k": np.array(batch.top_k or least_top_k, np.int64),
        "targets": _NO_TARGETS if batch.targets is None else batch.targets,
    }


def output_names(batch: Batch) -> list[str]:
    """Return the names of the outputs that the batch needs; nothing else is computed."""
    names = [] if batch.top_k is None else ["scores", "tokens"]
    return names if batch.targets is None else [*names, "target_scores"]


def read_outputs(batch: Batch, values: Sequence[np.ndarray]) -> BatchPredictions:
    """Read the values of the outputs that `output_names` lists.

    Raises:
        MlmfastError: a probability is NaN.
    """
    outputs = dict(zip(output_names(batch), values, strict=True))
    if any(np.isnan(outputs[name]).any() for name in outputs if name != "tokens"):
        raise MlmfastError(
            "The model gives NaN at a mask: its weights are broken, most likely by a training run "
            "that diverged."
        )
    targets = batch.targets
    return BatchPredictions(
        None if batch.top_k is None else Predictions(outputs["scores"], outputs["tokens"]),
        None if targets is None else Predictions(outputs["target_scores"], targets),
    )
