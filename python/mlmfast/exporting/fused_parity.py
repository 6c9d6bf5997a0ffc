"""Whether fill_mask.onnx gives the answers of the checkpoint, at shapes it was not traced with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import ExportMismatchError
from mlmfast.exporting.parity import ShapeParity

if TYPE_CHECKING:
    from mlmfast.exporting.parity import Reference

MANY = 12
# Shares smaller than this are rounded by the exponential, not by the model.
TINY = 1e-30


def compare_fused(
    session: Any, reference: Reference, *, max_difference: float
) -> list[ShapeParity]:
    """Ask the graph for the masks of one reference: one a text, then many, one text left out.

    Args:
        session: onnxruntime's, of fill_mask.onnx.
        reference: inputs of one shape, and the checkpoint's logits.
        max_difference: as for `parity.compare`; the differences are those of log-probabilities,
            which lie as far apart as the logits do.

    Raises:
        ExportMismatchError: the graph cannot be run, or contradicts itself: scores that are not
            those of the tokens, another order, other shapes.
    """
    draw = np.random.default_rng(reference.logits.shape[1])
    length = reference.logits.shape[1]
    places = [row * length + np.flatnonzero(real) for row, real in enumerate(reference.real)]
    one = np.array([draw.choice(row) for row in places])
    some = np.concatenate(places[1:] or places)
    many = draw.choice(some, min(MANY, len(some)), replace=False)
    return [
        _compare_positions(session, reference, positions, max_difference)
        for positions in (one, many)
    ]


def _compare_positions(
    session: Any, reference: Reference, positions: np.ndarray, max_difference: float
) -> ShapeParity:
    batch, length, vocab_size = reference.logits.shape
    logits = reference.logits.reshape(-1, vocab_size)[positions].astype(np.float64)
    expected = logits - logits.max(axis=-1, keepdims=True)
    expected -= np.log(np.exp(expected).sum(axis=-1, keepdims=True))
    _, _, _, found = _run(session, reference, positions, 1, [], probabilities=True)
    _require_consistent(session, reference, positions, found)
    visible = expected > np.log(TINY)
    with np.errstate(divide="ignore"):
        difference = np.abs(np.log(found) - expected, where=visible, out=np.zeros_like(expected))
    return ShapeParity(
        batch=batch,
        length=length,
        padded=reference.padded,
        masks=len(positions),
        difference=float(difference.max()),
        limit=max_difference * max(1.0, float(np.abs(logits).max())),
        top1_agreement=float((found.argmax(-1) == expected.argmax(-1)).mean()),
    )


def _require_consistent(
    session: Any, reference: Reference, positions: np.ndarray, probabilities: np.ndarray
) -> None:
    """Compare what the graph answers at several `top_k` and `targets` with its own shares."""
    vocab_size = probabilities.shape[1]
    for top_k in {0, 1, min(5, vocab_size), vocab_size}:
        targets = [] if top_k == 1 else [vocab_size - 1, 0, vocab_size // 2]
        scores, tokens, asked, shares = _run(session, reference, positions, top_k, targets)
        fits = (
            tokens.shape == (len(positions), top_k)
            and asked.shape == (len(positions), len(targets))
            and shares.shape == (0, vocab_size)
            and np.allclose(scores, np.take_along_axis(probabilities, tokens, -1), rtol=1e-4)
            and np.allclose(scores, -np.sort(-probabilities, axis=-1)[:, :top_k], rtol=1e-4)
            and np.allclose(asked, probabilities[:, targets], rtol=1e-4)
        )
        if not fits:
            raise ExportMismatchError(
                f"fill_mask.onnx contradicts itself at {reference} tokens: its answers to "
                f"top_k={top_k} and targets={targets} are not those of its own probabilities. "
                "Nothing was written."
            )


def _run(
    session: Any,
    reference: Reference,
    positions: np.ndarray,
    top_k: int,
    targets: list[int],
    *,
    probabilities: bool = False,
) -> list[np.ndarray]:
    taken = {entry.name for entry in session.get_inputs()}
    feed = {
        **{name: value for name, value in reference.inputs.items() if name in taken},
        "mask_positions": positions,
        "top_k": np.array(top_k),
        "targets": np.array(targets, dtype=np.int64),
        "want_probabilities": np.array(probabilities),
    }
    names = ["scores", "tokens", "target_scores", "probabilities"]
    try:
        found: list[np.ndarray] = session.run(names, feed)
    except Exception as error:  # onnxruntime's own exceptions share no base but this
        raise ExportMismatchError(f"fill_mask.onnx fails at {reference} tokens: {error}") from error
    return found
