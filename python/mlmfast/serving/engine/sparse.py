"""`sparse.onnx`: texts in, the ids and weights of their words out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import InputError, MlmfastError
from mlmfast.serving.engine.columns import column_types, of_types
from mlmfast.serving.engine.session import run_session
from mlmfast.serving.types import SparseVector, pad_columns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlmfast.serving.types import OutputSpec, SparseText

_INPUTS = ("top_k", "threshold", "keep_special")
_OUTPUTS = ["counts", "ids", "weights"]
_FORMAT = "1"


def is_sparse(session: Any) -> bool:
    """Whether a session has opened a sparse.onnx."""
    return any(entry.name == "keep_special" for entry in session.get_inputs())


class SparseGraph:
    """`sparse.onnx`: texts in, the ids and weights of their words out.

    Attributes:
        vocab_size: distinct tokens of the model.
        takes_attention_mask: whether the graph has an input for the attention mask.
        padding_sensitive: whether padding changes the weights in spite of it.
        max_length: tokens a text may have; None without a limit.
        outputs_logits: whether the graph outputs logits [batch, length, vocabulary].
        cut_at: tokens after which the model's own configuration cuts a text; None: as many as it
            takes.
        top_k: how many of the heaviest words the model's own configuration keeps; 0: all.
        queries: what encodes queries: "model", or "table", for idf.json.
        special_ids: ids of special tokens, int64, ascending.
    """

    outputs_logits = False

    def __init__(self, graph: Path, session: Any):
        metadata = session.get_modelmeta().custom_metadata_map
        self._types = column_types(graph, session, besides=_INPUTS)
        written = metadata.get("mlmfast.format", "of another program")
        names = {entry.name for entry in session.get_outputs()}
        if written != _FORMAT or not {*_OUTPUTS} <= names:
            raise InputError(
                f"{graph} has the format {written!r}, and this version of mlmfast reads "
                f"{_FORMAT!r}: write the folder again with `mlmfast export --task sparse "
                "--overwrite`, or install the mlmfast that wrote it."
            )
        self.vocab_size: int | None = int(metadata["mlmfast.vocab_size"])
        self.padding_sensitive = metadata.get("mlmfast.padding_shows") == "1"
        self.max_length = _number(metadata.get("mlmfast.longest", ""))
        self.cut_at = _number(metadata.get("mlmfast.cut_at", ""))
        self.top_k = int(metadata.get("mlmfast.top_k", "0"))
        self.queries: str = metadata.get("mlmfast.queries", "model")
        special = metadata.get("mlmfast.special_ids", "")
        self.special_ids = np.array([int(token) for token in special.split()], np.int64)
        self.takes_attention_mask = "attention_mask" in self._types

    def run_texts(
        self, session: Any, texts: Sequence[SparseText], _output_spec: OutputSpec, pad_id: int
    ) -> list[SparseVector]:
        """Run texts as one batch, each with its own options.

        Raises:
            MlmfastError: the model outputs NaN, or onnxruntime fails.
        """
        alike = len({text.special_tokens for text in texts}) == 1
        top_k = [text.top_k for text in texts]
        feed: dict[str, Any] = dict(of_types(pad_columns(texts, pad_id), self._types))
        # The graph takes the words that any of the texts may keep.
        feed["top_k"] = np.array(max(top_k) if alike and all(top_k) else 0, np.int64)
        feed["threshold"] = np.array(min(text.threshold for text in texts), np.float32)
        feed["keep_special"] = np.array(any(text.special_tokens for text in texts))
        counts, ids, weights = run_session(session, _OUTPUTS, feed)
        if np.isnan(weights).any():
            raise MlmfastError(
                "The model gives a word the weight NaN: its weights are broken, most likely by a "
                "training run that diverged."
            )
        ends = np.cumsum(counts)[:-1]
        vectors = zip(np.split(ids, ends), np.split(weights, ends), strict=True)
        return [
            prune(SparseVector(*vector), text, self.special_ids)
            for vector, text in zip(vectors, texts, strict=True)
        ]


def prune(vector: SparseVector, text: SparseText, special_ids: np.ndarray) -> SparseVector:
    """Keep the words that the options of a text allow; of equal weights the lower id is first."""
    keep = vector.weights > np.float32(text.threshold)
    if not text.special_tokens:
        keep &= ~np.isin(vector.ids, special_ids)
    if not keep.all():
        vector = SparseVector(vector.ids[keep], vector.weights[keep])
    if 0 < text.top_k < len(vector):
        heaviest = np.sort(np.argsort(-vector.weights, kind="stable")[: text.top_k])
        vector = SparseVector(vector.ids[heaviest], vector.weights[heaviest])
    return vector


def _number(text: str) -> int | None:
    return int(text) if text else None
