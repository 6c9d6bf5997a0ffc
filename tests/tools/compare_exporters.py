"""Compare what the exporters write for every model type; docs/architectures.md has its tables.

    PYTHONPATH=python python tests/tools/compare_exporters.py [--details] [TYPE or CHECKPOINT ...]

It compares the exporters of this environment on a tiny random model of each type: whether they
write model.onnx at all, how far its logits are from PyTorch's at shapes other than the traced one,
how many bytes it takes in an ONNX folder, and which operators run in onnxruntime. --details prints
a row for each type, too. A folder is a checkpoint to compare them on. --fusions adds the graphs
that transformers.exporters writes for onnxruntime alone (`ort_fusions="cpu"`). With --keep FILE,
what was measured is kept in a file, and a run that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from architectures import masked_types, tiny_model
from matrix import PAD, every_shape, open_graph
from mlmfast.errors import MissingDependencyError, first_sentence
from mlmfast.exporting.architectures import REFUSED
from mlmfast.exporting.checkpoint import Checkpoint, load_checkpoint, quiet
from mlmfast.exporting.exporters import by_optimum, by_transformers
from mlmfast.exporting.fill_mask_graph import save_graph, write_logits
from mlmfast.exporting.graph.session import count_operators, is_fused
from mlmfast.exporting.graph.shared_weights import WEIGHTS, share_weights

LIMIT = 1e-4  # of the largest logit, as `mlmfast export` has it
FUSING = "transformers, ort_fusions"


@dataclass
class Graph:
    """model.onnx of one type by one exporter.

    Attributes:
        difference: the largest |ONNX - PyTorch| at any token, as a share of the largest logit or
            of 1; NaN where it does not run at every shape.
        fault: why there is no graph, or none that is right at every shape; "" where it is.
        size: bytes of the graph and its weights.
        operators: how many run in onnxruntime.
        fused: how many of them are onnxruntime's fusions.
    """

    difference: float = float("nan")
    fault: str = ""
    size: int = 0
    operators: int = 0
    fused: int = 0

    @property
    def written(self) -> bool:
        """Whether the exporter wrote a graph."""
        return self.size > 0


def writers(*, fusions: bool) -> dict[str, Callable[[Checkpoint, Path], object]]:
    """The exporters of this environment, each as a function that writes a graph."""
    found: dict[str, Callable[[Checkpoint, Path], object]] = {
        "mlmfast": lambda checkpoint, graph: write_logits(checkpoint.model, graph)
    }
    for name, module in (("optimum", by_optimum), ("transformers", by_transformers)):
        try:
            module.require()
        except MissingDependencyError:
            continue
        found[name] = lambda checkpoint, graph, module=module: module.write(checkpoint, graph, None)
    if fusions and "transformers" in found:
        found[FUSING] = _write_fused
    return found


def _write_fused(checkpoint: Checkpoint, graph: Path) -> None:
    save_graph(by_transformers.export_model(checkpoint.model, ort_fusions="cpu"), graph)


class Kept:
    """What was measured already, in a file of lines of JSON.

    Args:
        file: the file; None: nothing is kept.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        lines = file.read_text().splitlines() if file and file.exists() else []
        self._found = {name: Graph(**graph) for name, graph in map(json.loads, lines)}

    def get(self, name: str, compute: Callable[[], Graph]) -> Graph:
        """Return what was measured under a name, or measure it now."""
        if name not in self._found:
            self._found[name] = graph = compute()
            sys.stderr.write(f"{name}: {graph}\n")
            if self._file:
                with self._file.open("a") as opened:
                    opened.write(json.dumps([name, asdict(graph)]) + "\n")
        return self._found[name]


def measure(kind: str, write: Callable[[Checkpoint, Path], object]) -> Graph:
    """Export a tiny model of the type, or a checkpoint, and compare it."""
    found = Graph()
    model = load_checkpoint(kind).model if Path(kind).is_dir() else tiny_model(kind)
    with tempfile.TemporaryDirectory() as place, quiet():
        path = Path(place) / "model.onnx"
        try:
            write(Checkpoint(kind, model, None), path)
        except Exception as error:  # noqa: BLE001 - whatever stops an exporter is told
            found.fault = f"not written: {_short(error)}"
            return found
        share_weights([path])
        found.size = path.stat().st_size + (Path(place) / WEIGHTS).stat().st_size
        try:
            operators = count_operators(path)
            found.operators = sum(operators.values())
            found.fused = sum(count for name, count in operators.items() if is_fused(name))
            found.difference, found.fault = _compare(model, path)
        except Exception as error:  # noqa: BLE001 - onnxruntime's share no base but this
            found.fault = f"not opened: {_short(error)}"
    return found


def _compare(model: Any, path: Path) -> tuple[float, str]:
    session = open_graph(path)
    names = tuple(entry.name for entry in session.get_inputs())
    shares, faults = [], []
    for inputs, logits in every_shape(model, names):
        ids = inputs["input_ids"]
        shape = f"{ids.shape[0]} x {ids.shape[1]}"
        try:
            answer = session.run(["logits"], inputs)[0][:, : ids.shape[1]]
        except Exception:  # noqa: BLE001 - as above
            faults.append(f"fails at {shape}")
            continue
        if answer.shape != logits.shape:
            faults.append(f"answers {answer.shape} at {shape}")
            continue
        real = ids != PAD
        apart = np.abs(answer - logits)[real].max() / max(1.0, np.abs(logits).max())
        shares.append(float(apart))
        if not apart <= LIMIT:
            faults.append(f"differs by {apart:.0e} at {shape}")
    return max(shares, default=float("nan")), "; ".join(faults)


def _short(error: Exception) -> str:
    line = first_sentence(error).removesuffix(".")
    for prefix in ("Optimum cannot export", "transformers.exporters cannot export"):
        if line.startswith(prefix):
            line = line.partition(": ")[2]
    return line.replace("|", "/")[:160]


def summary(found: dict[str, dict[str, Graph]]) -> list[str]:
    """The table of the exporters, sizes and operators over the types that all get right."""
    right = {
        name: {kind for kind, graph in graphs.items() if graph.written and not graph.fault}
        for name, graphs in found.items()
    }
    common = set.intersection(*right.values())
    titles = ["exporter", "types written", "right at every shape", "largest difference"]
    titles += [f"size of the {len(common)} that all get right", "operators that run", "fused"]
    lines = ["| " + " | ".join(titles) + " |", "|" + " --- |" * len(titles)]
    for name, graphs in found.items():
        both = [graphs[kind] for kind in sorted(common)]
        written = sum(graph.written for graph in graphs.values())
        largest = max((graphs[kind].difference for kind in right[name]), default=float("nan"))
        lines.append(
            f"| {name} | {written} of {len(graphs)} | {len(right[name])} | {largest:.0e} | "
            f"{sum(graph.size for graph in both) / 1e6:.2f} MB | "
            f"{sum(graph.operators for graph in both):,} | {sum(graph.fused for graph in both):,} |"
        )
    return lines


def faults(found: dict[str, dict[str, Graph]]) -> list[str]:
    """What was not written or not right, one line each."""
    return [
        f"| {name} | {kind} | {graph.fault} |"
        for name, graphs in found.items()
        for kind, graph in graphs.items()
        if graph.fault
    ]


def details(found: dict[str, dict[str, Graph]]) -> list[str]:
    """A row for each type."""
    lines = ["| type | " + " | ".join(found) + " |", "| --- |" + " --- |" * len(found)]
    for kind in next(iter(found.values())):
        cells = []
        for graphs in found.values():
            graph = graphs[kind]
            cells.append(
                f"{graph.difference:.0e}, {graph.size / 1000:.0f} kB, "
                f"{graph.operators} ({graph.fused})"
                if graph.written
                else "-"
            )
        lines.append(f"| {Path(kind).name} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Measure and print."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("types", nargs="*", help="types or checkpoints; all types by default")
    parser.add_argument("--details", action="store_true", help="print a row for each type, too")
    parser.add_argument("--fusions", action="store_true", help="add transformers' ort_fusions")
    parser.add_argument("--keep", type=Path, help="the file to keep the measurements in")
    options = parser.parse_args()
    torch.set_num_threads(1)
    kinds = [kind for kind in options.types or masked_types() if kind not in REFUSED]
    exporters = writers(fusions=options.fusions)
    found: dict[str, dict[str, Graph]] = {name: {} for name in exporters}
    kept = Kept(options.keep)
    for kind in kinds:
        for name, write in exporters.items():
            found[name][kind] = kept.get(f"{kind}, {name}", lambda k=kind, w=write: measure(k, w))
    packages = ["transformers", "torch", "onnxruntime"]
    packages += ["optimum-onnx"] * ("optimum" in found) + ["onnxscript"] * ("transformers" in found)
    lines = [", ".join(f"{name} {version(name)}" for name in packages), "", *summary(found)]
    wrong = faults(found)
    if wrong:
        lines += ["", "| exporter | type | fault |", "| --- | --- | --- |", *wrong]
    if options.details:
        lines += ["", *details(found)]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
