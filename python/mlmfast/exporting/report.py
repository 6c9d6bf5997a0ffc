"""What an export did: returned to the caller and kept beside the graph."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.exporting.parity.logits import ShapeParity
    from mlmfast.exporting.quantization.agreement import Agreement

FILE = "export_report.json"
PACKAGES = ("mlmfast", "torch", "transformers", "optimum", "optimum-onnx", "onnx", "onnxruntime")


@dataclass(frozen=True)
class GraphReport:
    """One graph of an export.

    Attributes:
        exporter: who traced it: "optimum" or "mlmfast".
        remark: why Optimum did not, where it could have.
        precision: what its weights and most of its arithmetic are in.
        opset: ONNX operator set.
        comparisons: the graph against PyTorch, one or more a shape.
        difference: the largest difference of a logit in them.
        top1_agreement: the smallest share of positions with the same likeliest token.
        operators: operators that run, as onnxruntime puts them together for the CPU, by kind.
        fused_operators: how many of them are onnxruntime's own, and stand for several.
        head: where it runs in fill_mask.onnx: "masked rows" or "all rows"; "" for model.onnx.
        last_layer: matrix products of the last layer that run on masked rows only.
    """

    exporter: str
    remark: str
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
class ExportReport:
    """One export, which passed its comparison.

    Attributes:
        checkpoint: the folder or Hub name that was exported.
        output: the ONNX folder.
        model_type: as config.json calls it.
        parameters: numbers in the model, shared ones counted once.
        mask_token: what stands for a word to be filled in a text.
        precision: of both graphs. The comparisons are those of float32, from which a lower one was
            made.
        judgement: what the lower precision costs, on text; None for float32.
        graphs: what is known of model.onnx and fill_mask.onnx, by file.
        padding_shows: whether padding changes the answers, so that only texts of one length may
            share a batch.
        longest: tokens a text may have, special ones included; None: no limit.
        files: bytes of each file in the folder, this report left out. The weights of both graphs
            are in model.onnx_data.
        max_difference: what was asked for: the largest difference, as a share of the largest logit.
        export_seconds: loading the checkpoint and writing the graphs.
        compare_seconds: the comparison.
        versions: packages that took part; None: not installed as a package.
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

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON takes it."""
        return {"written_by": "mlmfast export", **asdict(self), "output": str(self.output)}

    def write(self, folder: Path) -> None:
        """Write export_report.json into `folder`."""
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")


def is_exported_folder(folder: Path) -> bool:
    """Whether `mlmfast export` wrote `folder`, so that it may be replaced."""
    try:
        report = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(report, dict) and report.get("written_by") == "mlmfast export"
