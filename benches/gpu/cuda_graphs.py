"""Where onnxruntime places the nodes of our graphs, and whether it captures CUDA graphs of them."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from gpu_settings import DEVICE, DRY_RUN
from onnxruntime import OrtValue

import mlmfast
from mlmfast.errors import first_sentence
from mlmfast.serving.engine import captured
from mlmfast.serving.engine.session import CPU, CUDA

FILES = ("fill_mask.onnx", "model.onnx", captured.FIXED)
SHAPES = ((1, 16), (8, 128))
CALLS = 3 if DRY_RUN else 50


def session(graph: Path, *, captures: bool = False, falls_back: bool = True) -> Any:
    """Open a graph as the engine does, with one or the other more."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.disable_cpu_ep_fallback", str(int(not falls_back)))
    if DRY_RUN:
        return onnxruntime.InferenceSession(graph, options, providers=[CPU])
    onnxruntime.preload_dlls()
    settings = {"use_tf32": "0", "enable_cuda_graph": str(int(captures))}
    # A CPU that is named may be fallen back to.
    providers: list[Any] = [(CUDA, settings), *([CPU] if falls_back else [])]
    # What cannot be captured is to be told, not opened on the CPU.
    return onnxruntime.InferenceSession(graph, options, providers=providers, enable_fallback=0)


def inputs(graph: Any, rows: int, length: int) -> dict[str, np.ndarray]:
    """A batch for it: ids, one mask a row, five tokens for each."""
    ids = np.random.default_rng(0).integers(4, 1000, (rows, length))
    known = {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "mask_positions": np.arange(rows) * length,
        "top_k": np.array(5),
        "targets": np.zeros(0, np.int64),
        "want_probabilities": np.array(False),
    }
    return {each.name: known[each.name] for each in graph.get_inputs()}


def milliseconds(graph: Path, rows: int, length: int, *, captures: bool) -> float:
    """The median time of a run whose inputs and outputs stay where they are."""
    plain = session(graph)
    feed = inputs(plain, rows, length)
    names = [each.name for each in plain.get_outputs() if each.name != "target_scores"]
    # What is captured writes to the same memory each time.
    results = dict(zip(names, plain.run(names, feed), strict=True))
    opened = session(graph, captures=True) if captures else plain
    binding = opened.io_binding()
    for name, array in feed.items():
        binding.bind_ortvalue_input(name, OrtValue.ortvalue_from_numpy(array, DEVICE))
    for name, array in results.items():
        binding.bind_ortvalue_output(name, OrtValue.ortvalue_from_numpy(array, DEVICE))
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        opened.run_with_iobinding(binding)
        binding.synchronize_outputs()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def lone_text(folder: Path, *, captures: bool) -> float:
    """The median time of `FillMask` for one short text, in milliseconds."""
    fill_mask = mlmfast.FillMask(folder, device=DEVICE, cuda_graphs=captures)
    text = f"w17 w23 {fill_mask.mask_token} w42"
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        fill_mask(text)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def placed(graph: Path) -> str:
    """Open a graph where no node may run on the CPU."""
    session(graph, falls_back=False)
    return "every node runs on the GPU"


def attempt(what: str, run: Callable[[], Any]) -> None:
    """Print what comes of it, or why nothing does."""
    try:
        found = run()
        found = f"{found:.3f}" if isinstance(found, float) else found
    except Exception as error:  # noqa: BLE001 (the reason is the result)
        found = first_sentence(error)
    print(f"- {what}: {found}", flush=True)


def main(folder: Path) -> None:
    """Print placement, and times with and without capturing."""
    for name in FILES:
        graph = folder / "fp16" / name

        attempt(f"`{name}` without the CPU", partial(placed, graph))
        for rows, length in SHAPES:
            for captures in (False, True):
                measure = partial(milliseconds, graph, rows, length, captures=captures)
                how = "captured" if captures else "not captured"
                attempt(f"`{name}`, fp16, {rows} x {length} tokens, {how}, ms", measure)
    if DRY_RUN:
        captured.DEVICE = "cpu"
    for captures in (False, True):
        how = "captured" if captures else "not captured"
        ask = partial(lone_text, folder / "fp16", captures=captures)
        attempt(f"`FillMask`, fp16, one text, {how}, ms", ask)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
