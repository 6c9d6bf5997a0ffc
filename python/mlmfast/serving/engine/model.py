"""An ONNX folder opened for masked texts: its engine, its tokenizer, its limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlmfast.serving.engine.engine import Engine
from mlmfast.serving.engine.graphs import FusedGraph
from mlmfast.serving.folder import OnnxFolder
from mlmfast.serving.text.decoding import Decoder
from mlmfast.serving.text.encode import Limits
from mlmfast.serving.text.tokenizer import ServingTokenizer

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Model:
    """What answers are made with."""

    folder: OnnxFolder
    engine: Engine
    decoder: Decoder
    vocabulary: ServingTokenizer
    limits: Limits


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
    vocabulary = ServingTokenizer(opened)
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
