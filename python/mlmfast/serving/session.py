"""One onnxruntime session over a graph that gives logits."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import InputError, MissingDependencyError, MlmfastError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DEVICES = ("auto", "cpu", "cuda")
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
INTEGERS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"


class LogitsSession:
    """A graph `input_ids, attention_mask?, token_type_ids? -> logits`, open on a device.

    Attributes:
        device: "cpu" or "cuda", where the graph really runs.
        vocab_size: the last dimension of the logits, None where the graph leaves it open.
        masks_padding: whether the graph can be told what is padding.
    """

    def __init__(self, graph: Path, *, device: str = "auto", threads: int | None = None):
        if device not in DEVICES:
            raise InputError(f"device must be one of {', '.join(DEVICES)}, and is {device!r}.")
        session = _open(graph, device, threads)
        self.device = "cuda" if session.get_providers()[0] == CUDA else "cpu"
        if device == "cuda" and self.device != "cuda":
            raise MlmfastError(
                "device='cuda' was asked for, but onnxruntime fell back to the CPU: the NVIDIA "
                "driver or the CUDA and cuDNN libraries could not be loaded (the lines above name "
                "what is missing). pip install 'mlmfast[gpu]' brings the libraries; device='cpu' "
                "does without."
            )
        self._types = {entry.name: INTEGERS.get(entry.type) for entry in session.get_inputs()}
        unknown = [name for name in self._types if name not in INPUTS]
        if unknown or None in self._types.values():
            raise InputError(
                f"{graph} wants the inputs {', '.join(self._types)}; a fill-mask graph takes "
                f"integers named {', '.join(INPUTS)}. Export the model with `mlmfast export`."
            )
        outputs = {entry.name: entry.shape for entry in session.get_outputs()}
        shape = outputs.get("logits", ())
        if len(shape) != 3:
            raise InputError(
                f"{graph} gives {', '.join(outputs)} and no logits [batch, length, vocabulary]: it "
                "was exported for another task. Export the checkpoint with `mlmfast export`."
            )
        self.vocab_size: int | None = shape[2] if isinstance(shape[2], int) else None
        self.masks_padding = "attention_mask" in self._types
        self._session = session

    def logits(
        self, rows: Sequence[np.ndarray], type_ids: Sequence[np.ndarray], pad_id: int
    ) -> np.ndarray:
        """Run one batch, padded on the right to its longest row.

        Args:
            rows: B arrays of token ids.
            type_ids: B arrays of segment ids, as long as the rows.
            pad_id: what fills the shorter rows.

        Returns:
            Logits [B, length, vocabulary], as the graph gives them.
        """
        shape = (len(rows), max(len(row) for row in rows))
        columns = {
            "input_ids": np.full(shape, pad_id, np.int64),
            "attention_mask": np.zeros(shape, np.int64),
            "token_type_ids": np.zeros(shape, np.int64),
        }
        for index, (ids, types) in enumerate(zip(rows, type_ids, strict=True)):
            columns["input_ids"][index, : len(ids)] = ids
            columns["attention_mask"][index, : len(ids)] = 1
            columns["token_type_ids"][index, : len(ids)] = types
        feed = {name: columns[name].astype(kind, copy=False) for name, kind in self._types.items()}
        try:
            return self._session.run(["logits"], feed)[0]
        except Exception as error:  # onnxruntime's own exceptions share no base but this
            raise MlmfastError(
                f"onnxruntime could not run a batch of {shape[0]} x {shape[1]} tokens: "
                f"{_first_line(error)}"
            ) from error


def available_threads() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # a container or taskset may leave us fewer than there are
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _open(graph: Path, device: str, threads: int | None) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError(
            "Filling masks needs onnxruntime, which is not installed: pip install 'mlmfast[cpu]', "
            "or 'mlmfast[gpu]' for an NVIDIA GPU (one of the two, never both)."
        ) from error
    if threads is not None and threads < 1:
        raise InputError(f"threads must be at least 1, and is {threads}.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or available_threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            str(graph), options, providers=_providers(onnxruntime, device)
        )
    except MlmfastError:
        raise
    except Exception as error:  # onnxruntime's own exceptions share no base but this
        raise InputError(
            f"onnxruntime cannot open {graph}: {_first_line(error)} The file may be damaged or cut "
            "short; write it again with `mlmfast export --overwrite`."
        ) from error


def _providers(onnxruntime: Any, device: str) -> list[Any]:
    available = onnxruntime.get_available_providers()
    if device == "cuda" and CUDA not in available:
        raise MlmfastError(
            "device='cuda' was asked for, but the installed onnxruntime has no CUDA provider (it "
            f"has {', '.join(available)}). Run: pip uninstall -y onnxruntime && "
            "pip install 'mlmfast[gpu]'"
        )
    if device == "cpu" or CUDA not in available:
        return [CPU]
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()
    # The arena's default doubles with every larger batch and never gives back.
    return [(CUDA, {"arena_extend_strategy": "kSameAsRequested"}), CPU]


def _first_line(error: Exception) -> str:
    line = str(error).strip().partition("\n")[0]
    return line if line.endswith(".") else f"{line}."
