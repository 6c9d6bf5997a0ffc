"""Verify an export: compare both graphs with the checkpoint on the same inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmfast.exporting.parity.fill_mask import compare_fused
from mlmfast.exporting.parity.logits import (
    Reference,
    ShapeParity,
    compare_logits,
    open_graph,
    references,
    require_limit,
    require_parity,
)
from mlmfast.exporting.parity.sparse import compare_sparse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlmfast.exporting.checkpoint import Checkpoint
    from mlmfast.exporting.sparse.definition import SparseDefinition


@dataclass(frozen=True)
class ParityReport:
    """The results of the comparisons.

    Attributes:
        model: those of model.onnx, one for each shape.
        fused: those of fill_mask.onnx, two for each shape.
        padding_sensitive: whether padding after a text changes the logits of the text.
        sparse: those of sparse.onnx, one for each shape; empty where there is none.
    """

    model: tuple[ShapeParity, ...]
    fused: tuple[ShapeParity, ...]
    padding_sensitive: bool
    sparse: tuple[ShapeParity, ...] = ()


def verify(
    graphs: Sequence[Path],
    checkpoint: Checkpoint,
    *,
    max_difference: float,
    definition: SparseDefinition | None = None,
) -> ParityReport:
    """Compare model.onnx, fill_mask.onnx and sparse.onnx with `checkpoint`.

    Args:
        graphs: model.onnx, fill_mask.onnx, and sparse.onnx where there is one.
        checkpoint: the checkpoint that was exported.
        max_difference: as for `compare_logits`.
        definition: what sparse.onnx computes.

    Raises:
        ExportMismatchError: one of them does not compute what the checkpoint computes.
        InputError: `max_difference` is not above 0.
    """
    require_limit(max_difference)
    session, fused_session, *others = [open_graph(graph) for graph in graphs]
    names = [entry.name for entry in session.get_inputs()]
    fused_names = [entry.name for entry in fused_session.get_inputs()]
    results: list[ShapeParity] = []
    fused_results: list[ShapeParity] = []
    sparse_results: list[ShapeParity] = []
    sensitive = "attention_mask" not in fused_names
    # Shape by shape, since the logits of one can be hundreds of megabytes.
    for reference in references(checkpoint, names):
        results.append(compare_logits(session, reference, max_difference=max_difference))
        fused_results += compare_fused(
            fused_session,
            reference,
            max_difference=max_difference,
            every_top_k=not fused_results,  # the first shape is the smallest
        )
        if definition is not None:
            sparse_results += [
                compare_sparse(other, reference, definition, max_difference=max_difference)
                for other in others
            ]
        if reference.padded and not sensitive:
            sensitive = _is_padding_sensitive(checkpoint, reference, max_difference)
    require_parity(results)
    require_parity(fused_results)
    require_parity(sparse_results)
    return ParityReport(tuple(results), tuple(fused_results), sensitive, tuple(sparse_results))


def _is_padding_sensitive(
    checkpoint: Checkpoint, reference: Reference, max_difference: float
) -> bool:
    """Whether the checkpoint's logits of the last text change without its padding."""
    import torch

    real = int(reference.real[-1].sum())
    main = getattr(checkpoint.model, "main_input_name", "input_ids")
    unpadded = {
        main if name == "input_ids" else name: torch.from_numpy(value[-1:, :real])
        for name, value in reference.inputs.items()
    }
    try:
        with torch.no_grad():
            logits = checkpoint.model(**unpadded).logits[0, :real].numpy()
    except Exception:  # noqa: BLE001 - some models refuse some lengths, so lengths must not be mixed
        return True
    padded = reference.logits[-1, :real]
    limit = max_difference * max(1.0, float(np.abs(padded).max()))
    return bool(np.abs(logits - padded).max() > limit)
