"""An ONNX folder opened for questions: its engine, its tokenizer, its limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import InputError
from mlmfast.serving.asked import Asked
from mlmfast.serving.decoding import Decoder
from mlmfast.serving.engine import Engine
from mlmfast.serving.folder import OnnxFolder
from mlmfast.serving.graphs import FusedGraph
from mlmfast.serving.options import EncodeOptions, rows_wanted
from mlmfast.serving.texts import Limits
from mlmfast.serving.vocabulary import Vocabulary
from mlmfast.serving.whole_targets import pieces_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Model:
    """What answers are made with."""

    folder: OnnxFolder
    engine: Engine
    decoder: Decoder
    vocabulary: Vocabulary
    limits: Limits

    def asked(
        self,
        top_k: int | None = 5,
        targets: str | Iterable[str] | None = None,
        *,
        whole_targets: bool = False,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
    ) -> Asked:
        """Check the options of a call.

        Raises:
            InputError: no target has a token, or a number is out of range.
            TypeError: a keyword that is not known, or a `top_k` that is no integer.
        """
        options = EncodeOptions.from_keywords(tokenizer_kwargs)
        vocab_size = self.limits.vocab_size
        if targets is None:
            if whole_targets:
                raise InputError("whole_targets says how targets are scored, and there are none.")
            return Asked(rows_wanted(top_k, vocab_size, None), options)
        if whole_targets:
            pieces = pieces_of(targets, self.vocabulary)
            self._require_known(max(map(max, pieces)))
            rows = rows_wanted(top_k, vocab_size, len(pieces))
            return Asked(rows, options, whole_targets=tuple(pieces))
        ids = self.vocabulary.target_ids(targets)
        self._require_known(ids[-1])
        rows = rows_wanted(top_k, vocab_size, len(ids))
        return Asked(rows, options, targets=np.array(ids, np.int64))

    def _require_known(self, token: int) -> None:
        if token >= self.limits.vocab_size:
            raise InputError(
                f"A target has the token {token}, and this model knows {self.limits.vocab_size}: "
                "the tokenizer beside the graph belongs to another model."
            )


def open_model(
    folder: str | Path,
    *,
    device: str = "auto",
    threads: int | None = None,
    spinning: bool | None = None,
    batching: str = "shared",
    batch_tokens: int | None = None,
    longest: int | None = None,
) -> Model:
    """Open an ONNX folder.

    Args:
        folder: as for `FillMask`.
        device: as for `FillMask`.
        threads: as for `FillMask`.
        spinning: as for `FillMask`.
        batching: as for `FillMask`.
        batch_tokens: tokens a batch may hold, padding included; None: where larger ones stop being
            faster.
        longest: tokens a text may have at most, where that is less than the model takes.

    Raises:
        MlmfastError: as `FillMask`.
    """
    opened = OnnxFolder.open(folder)
    vocabulary = Vocabulary(opened)
    engine = Engine(
        opened,
        device=device,
        threads=threads,
        spinning=spinning,
        batching=batching,
        batch_tokens=batch_tokens,
        pad_id=vocabulary.pad_id or 0,
        tokens=len(vocabulary),
    )
    graph = engine.graph
    takes = graph.longest if isinstance(graph, FusedGraph) else opened.max_length
    bounds = [bound for bound in (takes, longest) if bound is not None]
    limits = Limits(min(bounds, default=None), engine.vocab_size)
    return Model(opened, engine, Decoder(vocabulary, opened), vocabulary, limits)
