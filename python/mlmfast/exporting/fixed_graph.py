"""fill_mask_fixed.onnx: fill_mask.onnx whose `top_k` is a constant, as CUDA graphs need it."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import ExportMismatchError, InputError
from mlmfast.exporting.fill_mask_graph import FUSED
from mlmfast.exporting.graph.topk_outputs import fix_top_k
from mlmfast.exporting.parity.logits import Reference, open_graph, references

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.exporting.checkpoint import Checkpoint

FIXED = "fill_mask_fixed.onnx"
_TOP_K = 10
_COMPARED = 2  # shapes; the nodes that are left are those of fill_mask.onnx


def require_floats(precision: str) -> None:
    """Refuse a precision that is none for GPUs, before anything is exported.

    Raises:
        InputError: `precision` is one of eight bits.
    """
    if precision not in ("fp32", "fp16"):
        raise InputError(
            f"cuda_graphs is for GPUs, and {precision} for CPUs: choose the precision fp16 or fp32."
        )


def write_fixed_graph(folder: Path, checkpoint: Checkpoint, vocab_size: int) -> None:
    """Write fill_mask_fixed.onnx beside fill_mask.onnx, which is in its final precision.

    It uses the same weights. Its inputs are the model's own and `mask_positions`, its outputs
    `scores` and `tokens` [masks, 10], as fill_mask.onnx gives them.

    Args:
        folder: the ONNX folder.
        checkpoint: the checkpoint, for inputs to compare with.
        vocab_size: distinct tokens of the model.

    Raises:
        ExportMismatchError: it does not give what fill_mask.onnx gives.
    """
    import onnx
    from onnx import helper

    top_k = min(_TOP_K, vocab_size)
    model = onnx.load(str(folder / FUSED), load_external_data=False)
    fix_top_k(model, top_k)
    known = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(model, {**known, "mlmfast.top_k": str(top_k)})
    (folder / FIXED).write_bytes(model.SerializeToString())
    whole, fixed = open_graph(folder / FUSED), open_graph(folder / FIXED)
    names = [entry.name for entry in fixed.get_inputs() if entry.name != "mask_positions"]
    for reference in islice(references(checkpoint, names), _COMPARED):
        _require_equal(whole, fixed, reference, top_k)


def _require_equal(whole: Any, fixed: Any, reference: Reference, top_k: int) -> None:
    feed = {
        **reference.inputs,
        "mask_positions": np.flatnonzero(reference.real.ravel())[1::3],
    }
    given = {
        "top_k": np.array(top_k),
        "targets": np.zeros(0, np.int64),
        "want_probabilities": np.array(False),
    }
    scores, tokens = fixed.run(["scores", "tokens"], feed)
    expected, of_tokens = whole.run(["scores", "tokens"], {**feed, **given})
    if not (np.array_equal(tokens, of_tokens) and np.allclose(scores, expected, rtol=1e-5)):
        raise ExportMismatchError(
            f"{FIXED} does not give what {FUSED} gives at {reference} tokens. Nothing was written."
        )
