"""The two kinds of graphs that answer: ours, which finds the best tokens itself, and Optimum's."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import InputError
from mlmfast.serving.engine.io import feed_for, output_names, read_outputs
from mlmfast.serving.engine.logits import LOGITS_GRAPHS, LogitsAnswers
from mlmfast.serving.engine.session import run_session
from mlmfast.serving.types import Batch, BatchPredictions

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

_COLUMNS = ("input_ids", "attention_mask", "token_type_ids")
_INTEGERS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_QUESTIONS = ("mask_positions", "top_k", "targets", "want_probabilities")
_FORMAT = "1"


class FusedGraph:
    """`fill_mask.onnx`: positions in, best tokens or the probabilities of targets out.

    Attributes:
        vocab_size: distinct tokens the model knows.
        masks_padding: whether the graph can be told what is padding.
        padding_shows: whether padding changes the answers all the same.
        longest: tokens a text may have, None without a limit.
        logits_leave: whether [batch, length, vocabulary] numbers leave the graph.
    """

    logits_leave = False

    def __init__(self, graph: Path, session: Any):
        told = session.get_modelmeta().custom_metadata_map
        self._types = _column_types(graph, session, besides=_QUESTIONS)
        names = {entry.name for entry in session.get_outputs()}
        if told.get("mlmfast.format") != _FORMAT or not {*_QUESTIONS} <= {
            entry.name for entry in session.get_inputs()
        }:
            raise InputError(
                f"{graph} has the format {told.get('mlmfast.format', 'of another program')!r}, and "
                f"this version of mlmfast reads {_FORMAT!r}: write the folder again with "
                "`mlmfast export --overwrite`, or install the mlmfast that wrote it."
            )
        if not {"scores", "tokens", "target_scores"} <= names:
            raise InputError(f"{graph} gives {', '.join(sorted(names))}, and no scores and tokens.")
        self.vocab_size: int | None = int(told["mlmfast.vocab_size"])
        self.padding_shows = told.get("mlmfast.padding_shows") == "1"
        longest = told.get("mlmfast.longest", "")
        self.longest: int | None = int(longest) if longest else None
        self.masks_padding = "attention_mask" in self._types

    def ask(self, session: Any, batch: Batch) -> BatchPredictions:
        """Run one batch: the best tokens at each mask, the probabilities of its targets, or both.

        Raises:
            MlmfastError: the model gives NaN, or onnxruntime fails.
        """
        feed = _columns(batch, self._types) | feed_for(batch)
        feed["want_probabilities"] = np.array(False)
        return read_outputs(batch, run_session(session, output_names(batch), feed))


class LogitsGraph:
    """`model.onnx`: token ids in, [batch, length, vocabulary] logits out.

    Attributes: as those of `FusedGraph`.
    """

    logits_leave = True
    padding_shows = False
    longest: int | None = None

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
        self.masks_padding = "attention_mask" in self._types
        self._answers = LogitsAnswers(logits.type, session)
        logger.warning(
            "%s has no fill_mask.onnx, so model.onnx answers: the same, but slower. "
            "`mlmfast export` writes both.",
            graph.parent,
        )

    def ask(self, session: Any, batch: Batch) -> BatchPredictions:
        """As `FusedGraph.ask`."""
        return self._answers.ask(session, _columns(batch, self._types), batch)


Graph = FusedGraph | LogitsGraph


def open_graph(file: Path, session: Any) -> Graph:
    """Tell which kind of graph `session` has opened, by what it takes.

    Raises:
        InputError: it takes or gives something else than a fill-mask graph.
    """
    fused = any(entry.name == "mask_positions" for entry in session.get_inputs())
    return FusedGraph(file, session) if fused else LogitsGraph(file, session)


def _column_types(graph: Path, session: Any, besides: tuple[str, ...] = ()) -> dict[str, Any]:
    """Integer types of the inputs that are one number a token."""
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
