"""The proof of an export: both graphs beside the checkpoint, at the same inputs."""

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

if TYPE_CHECKING:
    from pathlib import Path

    from mlmfast.exporting.checkpoint import Checkpoint


@dataclass(frozen=True)
class ParityReport:
    """What the comparisons found.

    Attributes:
        model: of model.onnx, one a shape.
        fused: of fill_mask.onnx, two a shape.
        padding_shows: whether padding behind a text changes the logits of the text.
    """

    model: tuple[ShapeParity, ...]
    fused: tuple[ShapeParity, ...]
    padding_shows: bool


def verify(
    model: Path, fused: Path, checkpoint: Checkpoint, *, max_difference: float
) -> ParityReport:
    """Compare model.onnx and fill_mask.onnx with `checkpoint`.

    Args:
        model: the file of the one.
        fused: the file of the other.
        checkpoint: what they were written from.
        max_difference: as for `parity.compare`.

    Raises:
        ExportMismatchError: one of them computes something else.
        InputError: `max_difference` is not above 0.
    """
    require_limit(max_difference)
    session, fused_session = open_graph(model), open_graph(fused)
    names = [entry.name for entry in session.get_inputs()]
    fused_names = [entry.name for entry in fused_session.get_inputs()]
    results: list[ShapeParity] = []
    fused_results: list[ShapeParity] = []
    shows = "attention_mask" not in fused_names
    # Shape by shape, since the logits of one can be hundreds of megabytes.
    for reference in references(checkpoint, names):
        results.append(compare_logits(session, reference, max_difference=max_difference))
        fused_results += compare_fused(
            fused_session,
            reference,
            max_difference=max_difference,
            every_top_k=not fused_results,  # the first shape is the smallest
        )
        if reference.padded and not shows:
            shows = _padding_shows(checkpoint, reference, max_difference)
    require_parity(results)
    require_parity(fused_results)
    return ParityReport(tuple(results), tuple(fused_results), shows)


def _padding_shows(checkpoint: Checkpoint, reference: Reference, max_difference: float) -> bool:
    """Whether the checkpoint answers the last text otherwise when it stands alone."""
    import torch

    real = int(reference.real[-1].sum())
    main = getattr(checkpoint.model, "main_input_name", "input_ids")
    alone = {
        main if name == "input_ids" else name: torch.from_numpy(value[-1:, :real])
        for name, value in reference.inputs.items()
    }
    try:
        with torch.no_grad():
            logits = checkpoint.model(**alone).logits[0, :real].numpy()
    except Exception:  # noqa: BLE001 - a model may refuse some lengths; then they must not be mixed
        return True
    padded = reference.logits[-1, :real]
    limit = max_difference * max(1.0, float(np.abs(padded).max()))
    return bool(np.abs(logits - padded).max() > limit)
