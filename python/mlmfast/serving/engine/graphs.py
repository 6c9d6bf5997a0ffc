"""The two kinds of graphs: fill_mask.onnx, which outputs the best tokens, and model.onnx."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import InputError
from mlmfast.serving.engine.io import feed_for, output_names, read_outputs
from mlmfast.serving.engine.logits import LOGITS_GRAPHS, LogitsTopK
from mlmfast.serving.engine.session import run_session
from mlmfast.serving.types import Batch, BatchPredictions

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

_COLUMNS = ("input_ids", "attention_mask", "token_type_ids")
_INTEGERS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_FILL_MASK_INPUTS = ("mask_positions", "top_k", "targets", "want_probabilities")
_FORMAT = "1"


class FusedGraph:
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
        self._types = _column_types(graph, session, besides=_FILL_MASK_INPUTS)
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

    def run(self, session: Any, batch: Batch) -> BatchPredictions:
        """Run one batch: predict the best tokens at each mask, targets' probabilities, or both.

        Raises:
            MlmfastError: the model outputs NaN, or onnxruntime fails.
        """
        feed = _columns(batch, self._types) | feed_for(batch)
        feed["want_probabilities"] = np.array(False)
        return read_outputs(batch, run_session(session, output_names(batch), feed))


class LogitsGraph:
    """`model.onnx`: token ids in, [batch, length, vocabulary] logits out.

    Attributes: as those of `FusedGraph`.
    """

    outputs_logits = True
    padding_sensitive = False
    max_length: int | None = None

    def __init__(self, graph: Path, session: Any):
        self._types = _column_types(graph, session)
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
        """Run one batch, as `FusedGraph.run`."""
        return self._top_k.run(session, _columns(batch, self._types), batch)


Graph = FusedGraph | LogitsGraph


def open_graph(file: Path, session: Any) -> Graph:
    """Find out by its inputs which kind of graph `session` has opened.

    Raises:
        InputError: it has not the inputs or outputs of a fill-mask graph.
    """
    fused = any(entry.name == "mask_positions" for entry in session.get_inputs())
    return FusedGraph(file, session) if fused else LogitsGraph(file, session)


def _column_types(graph: Path, session: Any, besides: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the integer types of the inputs [batch, length]."""
    types = {
        entry.name: _INTEGERS.get(entry.type)
        for entry in session.get_inputs()
        if entry.name not in besides
    }
    unknown = [name for name in types if name not in _COLUMNS]
    if unknown or None in types.values():
        raise InputError(
            f"{graph} wants the inputs {', '.join(types)}; a fill-mask graph takes integers named "
            f"{', '.join(_COLUMNS)}. Export the model with `mlmfast export`."
        )
    return types


def _columns(batch: Batch, types: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: batch.columns[name].astype(kind, copy=False) for name, kind in types.items()}
