"""The ways to fill masks that P6 compares, and what each of them has to be given first."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import fill_mask_worker
from fill_mask_input import BERT_BASE, Model

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
        peers, reasons = _faster_clip(model)
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


def _openvino(model: Model, folder: Path) -> tuple[list[Way], list[str]]:
    path, problem = installed(OPENVINO)
    if path is not None and problem is None:
        command = [sys.executable, fill_mask_worker.__file__, "--convert"]
        command += [str(model.checkpoint), str(folder)]
        problem = _run(command, fill_mask_worker.environment(path))
    if problem is not None:
        return [], [f"OpenVINO is left out: {problem}"]
    kinds = ["f32", "bf16"] if probe_machine().features.get("bf16") else ["f32"]
    return [Way(f"`pipeline`, OpenVINO, {k}", f"openvino {k}", folder, path) for k in kinds], []


def _faster_clip(model: Model) -> tuple[list[Way], list[str]]:
    """It has BERT-base alone, in weights of 8 bits, and takes one text at a time."""
    path, problem = installed(FASTER_CLIP)
    if problem is not None:
        return [], [f"faster-clip is left out: {problem}"]
    return [Way("faster-clip, int8 weights", "faster-clip", model.checkpoint, path)], []


def installed(requirement: str, *more: str) -> tuple[Path | None, str | None]:
    """The folder with a peer's packages, and `more` of its choice, or why there is none."""
    root = os.environ.get("MLMFAST_BENCH_PEERS")
    if not root:
        return None, "MLMFAST_BENCH_PEERS names no folder for it."
    path = Path(root).absolute() / requirement
    return path, None if (path / "done").exists() else _install([requirement, *more], path)


def _install(requirements: list[str], path: Path) -> str | None:
    """Install it with all it needs but torch, which is 5 GB and the environment's own."""
    path.mkdir(parents=True, exist_ok=True)
    without = path / "without.txt"
    names = ("torch", "torchvision")
    without.write_text("".join(f"{name}; sys_platform == 'none'\n" for name in names))
    uv = Path(sys.executable).with_name("uv")
    command = [str(uv), "pip", "install", "--quiet", "--python", sys.executable]
    command += ["--only-binary", ":all:", "--override", str(without), "--target", str(path)]
    problem = _run([*command, *requirements], dict(os.environ))
    if problem is None:
        (path / "done").touch()
    return problem


def _run(command: list[str], environment: dict[str, str]) -> str | None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, check=False, timeout=1800
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stderr.strip().splitlines() or ["it failed"])[-1] if done.returncode else None
