"""A model opened from an ONNX folder: its engine, its tokenizer, its limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlmfast.serving.engine.engine import Engine
from mlmfast.serving.engine.graphs import LogitsGraph
from mlmfast.serving.engine.sparse import SparseGraph
from mlmfast.serving.folder import OnnxFolder
from mlmfast.serving.text.decoding import Decoder
from mlmfast.serving.text.encode import Limits
from mlmfast.serving.text.query_table import QueryTable
from mlmfast.serving.text.tokenizer import ServingTokenizer
from mlmfast.serving.text.words import Words
from mlmfast.serving.types import MaskedText, SparseText, Text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Model:
    """A masked language model that is ready for use.

    Attributes:
        folder: its files.
        engine: runs its graph; that of fill-mask where it is open for both tasks.
        decoder: decodes texts with candidates in them.
        tokenizer: its tokenizer.
        limits: its limits.
        sparse: what encodes sparse vectors; None where it is open for fill-mask alone.
    """

    folder: OnnxFolder
    engine: Engine
    decoder: Decoder
    tokenizer: ServingTokenizer
    limits: Limits
    sparse: SparseEngine | None = None

    @property
    def engines(self) -> dict[type[Text], Engine]:
        """The engine for each kind of text."""
        engines: dict[type[Text], Engine] = {MaskedText: self.engine}
        if self.sparse:
            engines[SparseText] = self.sparse.engine
        return engines


@dataclass(frozen=True, slots=True)
class SparseEngine:
    """What encodes sparse vectors.

    Attributes:
        engine: runs sparse.onnx.
        graph: the graph.
        queries: the weights of a query's tokens; None where queries go through the graph.
        words: the tokens of ids.
    """

    engine: Engine
    graph: SparseGraph
    queries: QueryTable | None
    words: Words


def open_model(
    folder: str | Path,
    *,
    device: str = "auto",
    threads: int | None = None,
    spinning: bool | None = None,
    batching: str = "shared",
    batch_tokens: int | None = None,
    max_length: int | None = None,
    tasks: Sequence[str] = ("fill-mask",),
    cuda_graphs: bool = False,
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
        tasks: what it is opened for, one or both of "fill-mask" and "sparse".
        cuda_graphs: as for `FillMask`; sparse.onnx is never captured.

    Raises:
        MlmfastError: as `FillMask`.
    """
    opened = OnnxFolder.open(folder, tasks[0])
    tokenizer = ServingTokenizer(opened)
    engines = [
        Engine(
            opened,
            opened.graph(task),
            device=device,
            threads=threads,
            spinning=spinning,
            batching=batching,
            batch_tokens=batch_tokens,
            pad_id=tokenizer.pad_id or 0,
            tokens=len(tokenizer),
            cuda_graphs=cuda_graphs and task == "fill-mask",
        )
        for task in tasks
    ]
    sparse = None
    for engine in engines:
        if isinstance(engine.graph, SparseGraph):
            table = _query_table(opened, engine, tokenizer)
            sparse = SparseEngine(engine, engine.graph, table, Words(tokenizer))
    engine = engines[0]
    graph = engine.graph
    # The export measured the limit of its graph; Optimum's graphs do not say theirs.
    of_model = opened.max_length if isinstance(graph, LogitsGraph) else graph.max_length
    bounds = [bound for bound in (of_model, max_length) if bound is not None]
    limits = Limits(min(bounds, default=None), engine.vocab_size)
    return Model(opened, engine, Decoder(tokenizer, opened), tokenizer, limits, sparse)


def _query_table(
    folder: OnnxFolder, engine: Engine, tokenizer: ServingTokenizer
) -> QueryTable | None:
    graph = engine.graph
    if not isinstance(graph, SparseGraph) or graph.queries != "table":
        return None
    return QueryTable.open(folder.path, tokenizer, engine.vocab_size)
