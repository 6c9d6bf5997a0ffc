"""A model opened from an ONNX folder: its engine, its tokenizer, its limits."""

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
    """A masked language model that is ready for use."""

    folder: OnnxFolder
    engine: Engine
    decoder: Decoder
    tokenizer: ServingTokenizer
    limits: Limits


def open_model(
    folder: str | Path,
    *,
    device: str = "auto",
    threads: int | None = None,
    spinning: bool | None = None,
    batching: str = "shared",
    batch_tokens: int | None = None,
    max_length: int | None = None,
) -> Model:
    """Open an ONNX folder.

    Args:
        folder: as for `FillMask`.
        device: as for `FillMask`.
        threads: as for `FillMask`.
        spinning: as for `FillMask`.
        batching: as for `FillMask`.
        batch_tokens: tokens a batch may hold, padding included; None: as many as still make it
            faster.
        max_length: tokens a text may have, where that is less than the model takes.

    Raises:
        MlmfastError: as `FillMask`.
    """
    opened = OnnxFolder.open(folder)
    tokenizer = ServingTokenizer(opened)
    engine = Engine(
        opened,
        device=device,
        threads=threads,
        spinning=spinning,
        batching=batching,
        batch_tokens=batch_tokens,
        pad_id=tokenizer.pad_id or 0,
        tokens=len(tokenizer),
    )
    graph = engine.graph
    # The export measured the limit of its graph; Optimum's graphs do not say theirs.
    of_model = graph.max_length if isinstance(graph, FusedGraph) else opened.max_length
    bounds = [bound for bound in (of_model, max_length) if bound is not None]
    limits = Limits(min(bounds, default=None), engine.vocab_size)
    return Model(opened, engine, Decoder(tokenizer, opened), tokenizer, limits)
