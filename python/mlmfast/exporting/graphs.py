"""The graphs of one export: written in float32, described in their metadata, reported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmfast.exporting.fill_mask_graph import FUSED, Fused, write_fill_mask_graph, write_metadata
from mlmfast.exporting.graph.session import count_operators, is_fused
from mlmfast.exporting.graph.shared_weights import share_weights
from mlmfast.exporting.logits_graph import GRAPH, write_model_graph
from mlmfast.exporting.parity.logits import plain_name
from mlmfast.exporting.report import GraphReport, SparseReport
from mlmfast.exporting.sparse.graph import SPARSE, SparseGraph, write_sparse_graph
from mlmfast.exporting.sparse.queries import write_query_table
from mlmfast.exporting.tracing import INPUTS, MAX_OPSET, OPSET

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.exporting.checkpoint import Checkpoint
    from mlmfast.exporting.parity.logits import ShapeParity
    from mlmfast.exporting.parity.verify import ParityReport
    from mlmfast.exporting.quantization.sparse_agreement import SparseAgreement
    from mlmfast.exporting.sparse.definition import SparseDefinition


@dataclass(frozen=True)
class SparseExport:
    """sparse.onnx, and what it computes.

    Attributes:
        definition: what it computes.
        graph: how it was built.
        has_table: whether queries are encoded by idf.json.
    """

    definition: SparseDefinition
    graph: SparseGraph
    has_table: bool

    @property
    def queries(self) -> str:
        """What encodes queries: "table" or "model"."""
        return "table" if self.has_table else "model"

    def report(self, judgement: SparseAgreement | None) -> SparseReport:
        """Return its part of the export's report."""
        definition = self.definition
        return SparseReport(definition.pooling, definition.activation, self.queries, judgement)


@dataclass(frozen=True)
class Graphs:
    """The graphs of an ONNX folder, which share their weights.

    Attributes:
        folder: where they lie.
        exporter: what wrote model.onnx, one of `report.EXPORTERS`.
        fused: how fill_mask.onnx was built.
        sparse: sparse.onnx; None where there is none.
    """

    folder: Path
    exporter: str
    fused: Fused
    sparse: SparseExport | None = None

    @property
    def files(self) -> list[Path]:
        """The files: model.onnx, fill_mask.onnx, and sparse.onnx where there is one."""
        names = [GRAPH, FUSED] + ([SPARSE] if self.sparse else [])
        return [self.folder / name for name in names]

    def describe(self, precision: str, padding_sensitive: bool, max_length: int | None) -> None:
        """Write into the metadata of our graphs what the engine needs to know."""
        known: dict[str, Any] = {
            "precision": precision,
            "padding_sensitive": padding_sensitive,
            "max_length": max_length,
        }
        write_metadata(self.folder / FUSED, vocab_size=self.fused.vocab_size, **known)
        if self.sparse:
            cut = self.sparse.definition.max_length
            write_metadata(
                self.folder / SPARSE,
                vocab_size=self.sparse.graph.vocab_size,
                queries=self.sparse.queries,
                cut_at="" if cut is None else str(cut),
                top_k=str(self.sparse.definition.top_k or 0),
                special_ids=" ".join(map(str, self.sparse.graph.special_ids)),
                **known,
            )

    def sparse_report(self, judgement: SparseAgreement | None) -> SparseReport | None:
        """Return what sparse.onnx computes; None where there is none."""
        return self.sparse.report(judgement) if self.sparse else None

    def reports(self, precision: str, parity: ParityReport) -> dict[str, GraphReport]:
        """Return the report of each graph, by file."""
        reports = {
            GRAPH: _report(
                self.folder / GRAPH,
                precision,
                parity.model,
                exporter=self.exporter,
            ),
            FUSED: _report(
                self.folder / FUSED,
                precision,
                parity.fused,
                head=self.fused.head,
                last_layer=self.fused.moved.products,
            ),
        }
        if self.sparse:
            head = self.sparse.graph.head
            reports[SPARSE] = _report(self.folder / SPARSE, precision, parity.sparse, head=head)
        return reports


def write_graphs(
    checkpoint: Checkpoint,
    folder: Path,
    opset: int | None,
    definition: SparseDefinition | None,
    *,
    exporter: str,
    split: bool,
) -> Graphs:
    """Write all graphs in float32, with their weights in one file.

    Args:
        checkpoint: the checkpoint.
        folder: where to write them.
        opset: ONNX operator set; None: as `export`.
        definition: what sparse.onnx computes; None: there is none.
        exporter: what writes model.onnx; the others are always traced by mlmfast.
        split: as for `write_fill_mask_graph`.

    Raises:
        MlmfastError: the exporter or mlmfast's tracer cannot write this model.
    """
    write_model_graph(checkpoint, folder, opset, exporter)
    names = [plain_name(entry.name) for entry in _read(folder / GRAPH).graph.input]
    options: dict[str, Any] = {
        "inputs": [name for name in INPUTS if name in names],
        "opset": min(opset or OPSET, MAX_OPSET),
        "split": split,
    }
    fused = write_fill_mask_graph(checkpoint.model, folder / FUSED, **options)
    sparse = None
    if definition is not None:
        has_table = write_query_table(definition, checkpoint.tokenizer, folder)
        graph = write_sparse_graph(
            checkpoint.model,
            folder / SPARSE,
            definition,
            vocab_size=fused.vocab_size,
            special_ids=checkpoint.tokenizer.all_special_ids,
            **options,
        )
        sparse = SparseExport(definition, graph, has_table)
    graphs = Graphs(folder, exporter, fused, sparse)
    share_weights(graphs.files)
    return graphs


def _report(
    graph: Path, precision: str, comparisons: tuple[ShapeParity, ...], **further: Any
) -> GraphReport:
    operators = count_operators(graph)
    return GraphReport(
        **{"exporter": "mlmfast", **further},
        precision=precision,
        opset=_opset(graph),
        comparisons=comparisons,
        difference=max(result.difference for result in comparisons),
        top1_agreement=min(result.top1_agreement for result in comparisons),
        operators=operators,
        fused_operators=sum(count for name, count in operators.items() if is_fused(name)),
    )


def _opset(graph: Path) -> int:
    return next(
        entry.version for entry in _read(graph).opset_import if entry.domain in ("", "ai.onnx")
    )


def _read(graph: Path) -> Any:
    import onnx

    return onnx.load(str(graph), load_external_data=False)
