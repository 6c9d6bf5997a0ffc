"""The kinds of graphs: fill_mask.onnx, which outputs the best tokens, model.onnx, sparse.onnx."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import InputError
from mlmfast.serving.engine.columns import column_types, of_types
from mlmfast.serving.engine.io import feed_for, output_names, read_outputs
from mlmfast.serving.engine.logits import LOGITS_GRAPHS, LogitsTopK
from mlmfast.serving.engine.session import device_of, run_session
from mlmfast.serving.engine.sparse import SparseGraph, is_sparse
from mlmfast.serving.types import (
    Batch,
    BatchPredictions,
    MaskedText,
    OutputSpec,
    Predictions,
    make_batch,
    split_predictions,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)

_FILL_MASK_INPUTS = ("mask_positions", "top_k", "targets", "want_probabilities")
_FORMAT = "1"


class _FillMaskGraph(ABC):
    """A graph that predicts tokens at masks."""

    @abstractmethod
    def run(self, session: Any, batch: Batch) -> BatchPredictions:
        """Run one batch: predict the best tokens at each mask, targets' probabilities, or both.

        Raises:
            MlmfastError: the model outputs NaN, or onnxruntime fails.
        """

    def run_texts(
        self, session: Any, texts: Sequence[MaskedText], output_spec: OutputSpec, pad_id: int
    ) -> list[Predictions]:
        """Run texts as one batch."""
        batch = make_batch(texts, output_spec, pad_id)
        return split_predictions(texts, batch, output_spec, self.run(session, batch))


class FusedGraph(_FillMaskGraph):
    """`fill_mask.onnx`: mask positions in, the best tokens or the probabilities of targets out.

    Attributes:
        vocab_size: distinct tokens of the model.
        takes_attention_mask: whether the graph has an input for the attention mask.
        padding_sensitive: whether padding changes the predictions in spite of it.
        max_length: tokens a text may have, as the export found out; None without a limit.
        outputs_logits: whether the graph outputs logits [batch, length, vocabulary].
    """

    outputs_logits = False

    def __init__(self, graph: Path, session: Any):
        metadata = session.get_modelmeta().custom_metadata_map
        self._types = column_types(graph, session, besides=_FILL_MASK_INPUTS)
        names = {entry.name for entry in session.get_outputs()}
        written = metadata.get("mlmfast.format", "of another program")
        if written != _FORMAT or not {*_FILL_MASK_INPUTS} <= {
            entry.name for entry in session.get_inputs()
        }:
            raise InputError(
                f"{graph} has the format {written!r}, and "
                f"this version of mlmfast reads {_FORMAT!r}: write the folder again with "
                "`mlmfast export --overwrite`, or install the mlmfast that wrote it."
            )
        if not {"scores", "tokens", "target_scores"} <= names:
            raise InputError(f"{graph} gives {', '.join(sorted(names))}, and no scores and tokens.")
        self.vocab_size: int | None = int(metadata["mlmfast.vocab_size"])
        self.padding_sensitive = metadata.get("mlmfast.padding_shows") == "1"
        max_length = metadata.get("mlmfast.longest", "")
        self.max_length: int | None = int(max_length) if max_length else None
        self.takes_attention_mask = "attention_mask" in self._types
        self._least_top_k = 1 if device_of(session) == "openvino" else 0  # 0 ends its process

    def run(self, session: Any, batch: Batch) -> BatchPredictions:
        """Run one batch."""
        feed = of_types(batch.columns, self._types) | feed_for(batch, self._least_top_k)
        feed["want_probabilities"] = np.array(False)
        return read_outputs(batch, run_session(session, output_names(batch), feed))


class LogitsGraph(_FillMaskGraph):
    """`model.onnx`: token ids in, [batch, length, vocabulary] logits out.

    Attributes: as those of `FusedGraph`.
    """

    outputs_logits = True
    padding_sensitive = False
    max_length: int | None = None

    def __init__(self, graph: Path, session: Any):
        self._types = column_types(graph, session)
        outputs = {entry.name: entry for entry in session.get_outputs()}
        logits = outputs.get("logits")
        shape: Any = logits.shape if logits and logits.type in LOGITS_GRAPHS else ()
        if logits is None or len(shape) != 3:
            raise InputError(
                f"{graph} gives {', '.join(outputs)} and no logits [batch, length, vocabulary]: it "
                "was exported for another task. Export the checkpoint with `mlmfast export`."
            )
        self.vocab_size: int | None = shape[2] if isinstance(shape[2], int) else None
        self.takes_attention_mask = "attention_mask" in self._types
        self._top_k = LogitsTopK(logits.type, session)
        logger.warning(
            "%s has no fill_mask.onnx, so model.onnx answers: the same, but slower. "
            "`mlmfast export` writes both.",
            graph.parent,
        )

    def run(self, session: Any, batch: Batch) -> BatchPredictions:
        """Run one batch."""
        return self._top_k.run(session, of_types(batch.columns, self._types), batch)


Graph = FusedGraph | LogitsGraph | SparseGraph


def open_graph(file: Path, session: Any) -> Graph:
    """Find out by its inputs which kind of graph `session` has opened.

    Raises:
        InputError: it has not the inputs or outputs of a fill-mask graph.
    """
    if is_sparse(session):
        return SparseGraph(file, session)
    fused = any(entry.name == "mask_positions" for entry in session.get_inputs())
    return FusedGraph(file, session) if fused else LogitsGraph(file, session)
