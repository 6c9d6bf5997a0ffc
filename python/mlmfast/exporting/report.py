"""What an export did: returned to the caller and kept beside the graph."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.exporting.parity import ShapeParity

FILE = "export_report.json"
PACKAGES = ("mlmfast", "torch", "transformers", "optimum", "optimum-onnx", "onnx", "onnxruntime")


@dataclass(frozen=True)
class ExportReport:
    """One export, which passed its comparison.

    Attributes:
        checkpoint: the folder or Hub name that was exported.
        output: the ONNX folder.
        model_type: as config.json calls it.
        parameters: numbers in the model, shared ones counted once.
        mask_token: what stands for a word to be filled in a text.
        opset: ONNX operator set of the graph.
        files: bytes of each file in the folder, this report left out.
        comparisons: ONNX against PyTorch, one a shape.
        max_difference: what was asked for: the largest difference, as a share of the largest logit.
        export_seconds: loading the checkpoint and writing the graph.
        compare_seconds: the comparison.
        versions: packages that took part; None: not installed as a package.
    """

    checkpoint: str
    output: Path
    model_type: str
    parameters: int
    mask_token: str
    opset: int
    files: dict[str, int]
    comparisons: tuple[ShapeParity, ...]
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
