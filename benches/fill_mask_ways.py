"""The ways to fill masks that P6 compares, and what each of them has to be given first."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import fill_mask_peers
import fill_mask_worker
from fill_mask_input import BERT_BASE, Model
from peer_packages import installed, run

import mlmfast
from mlmfast.doctor.machine import probe_machine
from mlmfast.exporting.quantization.int8 import eight_bits_overflow

OPENVINO = "optimum-intel[openvino]==2.2.0"
FASTER_CLIP = "faster-clip==0.4.0"
BATCHES = (1, 8, 32)
"""What the peers may choose from; ours chooses for itself."""
REDUCED = eight_bits_overflow()
INT8 = "int8 (7 bits: no VNNI)" if REDUCED else "int8"


@dataclass(frozen=True)
class Way:
    """One way.

    Attributes:
        label: As in the report.
        way: As the worker knows it.
        folder: The model in the form it takes.
        path: Packages of its own; None for this environment's.
    """

    label: str
    way: str
    folder: Path
    path: Path | None = None

    @property
    def ours(self) -> bool:
        """Whether it is mlmfast."""
        return self.way == "mlmfast"

    @property
    def once(self) -> list[str]:
        """The command that answers one text, which is to follow, and ends."""
        if self.ours:
            program = "from mlmfast.cli import main; main()"
            return [sys.executable, "-c", program, "fill-mask", str(self.folder), "--quiet"]
        return [sys.executable, fill_mask_worker.__file__, "--once", self.way, str(self.folder)]

    def start(self, texts: Path) -> fill_mask_worker.Worker:
        """Start its process, with a file of texts."""
        command = [sys.executable, fill_mask_worker.__file__, self.way, str(self.folder)]
        return fill_mask_worker.Worker(self.label, [*command, str(texts)], self.path)


def ways(model: Model, folder: Path) -> tuple[list[Way], list[str]]:
    """Write each way's form of the model below `folder`; and why others are left out."""
    from optimum.exporters.onnx import main_export

    optimum = folder / "optimum"
    main_export(str(model.checkpoint), optimum, task="fill-mask", do_validation=False)
    found = [
        Way("`pipeline`, torch", "pipeline", model.checkpoint),
        Way("`pipeline`, Optimum's ORTModelForMaskedLM", "optimum", optimum),
    ]
    peers, left_out = _openvino(model, folder / "openvino")
    found += peers
    if model.checkpoint.name == BERT_BASE:
        peers, reasons = faster_clip(model)
        found, left_out = found + peers, left_out + reasons
    report = mlmfast.export(model.checkpoint, folder / "fp32")
    found.append(Way("mlmfast, fp32", "mlmfast", Path(report.output)))
    found.append(Way(f"mlmfast, {INT8}", "mlmfast", export_int8(model, folder / "int8")))
    return found, left_out


def export_int8(model: Model, folder: Path) -> Path:
    """Write a model in int8, as docs/precision.md advises for this machine's processor."""
    # Random weights agree on little; what the small real model loses is in the table of P6.
    report = mlmfast.export(
        model.checkpoint, folder, precision="int8", reduce_range=REDUCED, min_agreement=0
    )
    return Path(report.output)


def write_openvino(
    form: str, model: Model, folder: Path, packages: Path, texts: Path | None = None
) -> str | None:
    """Write a form of a model that `fill_mask_peers` names; what went wrong, if anything did."""
    command = [sys.executable, fill_mask_peers.__file__, form, str(model.checkpoint), str(folder)]
    return run([*command, str(texts or "")], fill_mask_worker.environment(packages))


def _openvino(model: Model, folder: Path) -> tuple[list[Way], list[str]]:
    path, problem = installed(OPENVINO)
    if path is not None and problem is None:
        problem = write_openvino("fp32", model, folder, path)
    if problem is not None:
        return [], [f"OpenVINO is left out: {problem}"]
    kinds = ["f32", "bf16"] if probe_machine().features.get("bf16") else ["f32"]
    return [Way(f"`pipeline`, OpenVINO, {k}", f"openvino {k}", folder, path) for k in kinds], []


def faster_clip(model: Model) -> tuple[list[Way], list[str]]:
    """It has BERT-base alone, in weights of 8 bits, and takes one text at a time."""
    path, problem = installed(FASTER_CLIP)
    if problem is not None:
        return [], [f"faster-clip is left out: {problem}"]
    return [Way("faster-clip, int8 weights", "faster-clip", model.checkpoint, path)], []
