"""The report of an export, which is returned and written beside the graphs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.exporting.parity.logits import ShapeParity
    from mlmfast.exporting.quantization.agreement import Agreement
    from mlmfast.exporting.quantization.sparse_agreement import SparseAgreement

FILE = "export_report.json"
# What can write model.onnx; the first is the default.
EXPORTERS = ("mlmfast", "optimum", "transformers")
PACKAGES = (
    "mlmfast",
    "torch",
    "transformers",
    "optimum",
    "optimum-onnx",
    "onnxscript",
    "onnx",
    "onnxruntime",
)


@dataclass(frozen=True)
class GraphReport:
    """One graph of an export.

    Attributes:
        exporter: the exporter that wrote it: one of EXPORTERS for model.onnx, and "mlmfast" for the
            others.
        precision: the precision of its weights and of most of its arithmetic.
        opset: ONNX operator set.
        comparisons: comparisons with PyTorch, one or more for each shape.
        difference: the largest difference of a logit in them.
        top1_agreement: the smallest share of positions with the same best token.
        operators: how many operators of each type run after onnxruntime's optimizations for the
            CPU.
        fused_operators: how many of them are onnxruntime's fusions of several operators.
        head: where the head runs in fill_mask.onnx: "masked rows" or "all rows"; in sparse.onnx how
            it is pooled: "blocks of the vocabulary" or "whole logits"; "" for model.onnx.
        last_layer: matrix products of the last layer that run on masked rows only.
    """

    exporter: str
    precision: str
    opset: int
    comparisons: tuple[ShapeParity, ...]
    difference: float
    top1_agreement: float
    operators: dict[str, int]
    fused_operators: int
    head: str = ""
    last_layer: int = 0


@dataclass(frozen=True)
class SparseReport:
    """What sparse.onnx computes.

    Attributes:
        pooling: how the tokens of a text are pooled: "max" or "sum".
        activation: "relu", or "log1p_relu", with a second logarithm.
        queries: what encodes queries: "model", or "table", for idf.json.
        judgement: how far the lower precision agrees with float32 on text; None for float32.
    """

    pooling: str
    activation: str
    queries: str
    judgement: SparseAgreement | None = None


@dataclass(frozen=True)
class ExportReport:
    """A successful export.

    Attributes:
        checkpoint: the folder or Hub name that was exported.
        output: the ONNX folder.
        model_type: the model type in config.json.
        parameters: parameters of the model, shared ones counted once.
        mask_token: the mask token of the tokenizer.
        precision: the precision of both graphs. The comparisons are those in float32, before the
            graphs were converted.
        judgement: how far the lower precision agrees with float32 on text; None for float32.
        graphs: the reports of model.onnx, fill_mask.onnx and sparse.onnx, by file.
        padding_shows: whether padding changes the predictions, so that only texts of equal length
            may share a batch.
        longest: tokens a text may have, special tokens included; None: no limit.
        files: bytes of each file in the folder, without this report. The weights of all graphs are
            in model.onnx_data.
        max_difference: the allowed difference, as a share of the largest logit.
        export_seconds: the time to load the checkpoint and to write the graphs.
        compare_seconds: the time of the comparison.
        versions: versions of packages; None: not installed as a package.
        sparse: what sparse.onnx computes; None where there is none.
    """

    checkpoint: str
    output: Path
    model_type: str
    parameters: int
    mask_token: str
    precision: str
    judgement: Agreement | None
    graphs: dict[str, GraphReport]
    padding_shows: bool
    longest: int | None
    files: dict[str, int]
    max_difference: float
    export_seconds: float
    compare_seconds: float
    versions: dict[str, str | None]
    sparse: SparseReport | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a dictionary for JSON."""
        return {"written_by": "mlmfast export", **asdict(self), "output": str(self.output)}

    def write(self, folder: Path) -> None:
        """Write export_report.json into `folder`."""
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")


def is_exported_folder(folder: Path) -> bool:
    """Return whether `mlmfast export` wrote `folder`, so that it may be replaced."""
    try:
        report = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(report, dict) and report.get("written_by") == "mlmfast export"
