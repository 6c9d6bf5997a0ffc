"""Compare fill_mask.onnx with the checkpoint, at shapes other than the traced ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import ExportMismatchError
from mlmfast.exporting.parity.logits import ShapeParity

if TYPE_CHECKING:
    from mlmfast.exporting.parity.logits import Reference

_MANY = 12
# Smaller probabilities are rounded by the exponential, not by the model.
TINY = 1e-30


def compare_fused(
    session: Any, reference: Reference, *, max_difference: float, every_top_k: bool = True
) -> list[ShapeParity]:
    """Compare the predictions for one reference: with one mask in each text, then with many masks.

    Args:
        session: the onnxruntime session of fill_mask.onnx.
        reference: inputs of one shape, and the checkpoint's logits.
        max_difference: as for `compare_logits`; differences are those of log-probabilities, which
            have the scale of logits.
        every_top_k: also predict no token, one, and the whole vocabulary. That part of the graph
            depends on the logits of a mask alone, so one shape is enough.

    Raises:
        ExportMismatchError: the graph cannot be run, or its outputs contradict each other: the
            scores are not those of the tokens, or have another order or shape.
    """
    draw = np.random.default_rng(reference.logits.shape[1])
    length = reference.logits.shape[1]
    candidates = [row * length + np.flatnonzero(real) for row, real in enumerate(reference.real)]
    one = np.array([draw.choice(row) for row in candidates])
    some = np.concatenate(candidates[1:] or candidates)
    many = draw.choice(some, min(_MANY, len(some)), replace=False)
    return [
        _compare_positions(session, reference, positions, max_difference, every_top_k)
        for positions in (one, many)
    ]


def _compare_positions(
    session: Any,
    reference: Reference,
    positions: np.ndarray,
    max_difference: float,
    every_top_k: bool,
) -> ShapeParity:
    batch, length, vocab_size = reference.logits.shape
    logits = reference.logits.reshape(-1, vocab_size)[positions].astype(np.float64)
    expected = logits - logits.max(axis=-1, keepdims=True)
    expected -= np.log(np.exp(expected).sum(axis=-1, keepdims=True))
    probe = _Probe(session, reference, positions)
    actual = probe.probabilities(min(5, vocab_size), [vocab_size - 1, 0, vocab_size // 2])
    if every_top_k:
        for top_k in {0, 1, vocab_size}:
            probe.require_consistent(top_k, [] if top_k == 1 else [0, vocab_size - 1], actual)
    visible = expected > np.log(TINY)
    with np.errstate(divide="ignore"):
        difference = np.abs(np.log(actual) - expected, where=visible, out=np.zeros_like(expected))
    return ShapeParity(
        batch=batch,
        length=length,
        padded=reference.padded,
        masks=len(positions),
        difference=float(difference.max()),
        limit=max_difference * max(1.0, float(np.abs(logits).max())),
        top1_agreement=float((actual.argmax(-1) == expected.argmax(-1)).mean()),
    )


class _Probe:
    """Runs fill_mask.onnx at the same masks of one reference with different options."""

    def __init__(self, session: Any, reference: Reference, positions: np.ndarray) -> None:
        self._session = session
        self._reference = reference
        self._positions = positions

    def probabilities(self, top_k: int, targets: list[int]) -> np.ndarray:
        """Return the probabilities [masks, vocabulary], checked against the other outputs."""
        *outputs, probabilities = self._run(top_k, targets, probabilities=True)
        self._require_fit(outputs, top_k, targets, probabilities)
        return probabilities

    def require_consistent(self, top_k: int, targets: list[int], probabilities: np.ndarray) -> None:
        """Compare the outputs of a run without probabilities with those of another run."""
        *outputs, none = self._run(top_k, targets, probabilities=False)
        if none.shape != (0, probabilities.shape[1]):
            raise self._contradiction(top_k, targets)
        self._require_fit(outputs, top_k, targets, probabilities)

    def _require_fit(
        self,
        outputs: list[np.ndarray],
        top_k: int,
        targets: list[int],
        probabilities: np.ndarray,
    ) -> None:
        scores, tokens, target_scores = outputs
        fits = (
            tokens.shape == (len(self._positions), top_k)
            and target_scores.shape == (len(self._positions), len(targets))
            and np.allclose(scores, np.take_along_axis(probabilities, tokens, -1), rtol=1e-4)
            and np.allclose(scores, -np.sort(-probabilities, axis=-1)[:, :top_k], rtol=1e-4)
            and np.allclose(target_scores, probabilities[:, targets], rtol=1e-4)
        )
        if not fits:
            raise self._contradiction(top_k, targets)

    def _contradiction(self, top_k: int, targets: list[int]) -> ExportMismatchError:
        return ExportMismatchError(
            f"fill_mask.onnx contradicts itself at {self._reference} tokens: its answers to "
            f"top_k={top_k} and targets={targets} are not those of its own probabilities. "
            "Nothing was written."
        )

    def _run(self, top_k: int, targets: list[int], *, probabilities: bool) -> list[np.ndarray]:
        known = {entry.name for entry in self._session.get_inputs()}
        inputs = self._reference.inputs.items()
        feed = {
            **{name: value for name, value in inputs if name in known},
            "mask_positions": self._positions,
            "top_k": np.array(top_k),
            "targets": np.array(targets, dtype=np.int64),
            "want_probabilities": np.array(probabilities),
        }
        names = ["scores", "tokens", "target_scores", "probabilities"]
        try:
            outputs: list[np.ndarray] = self._session.run(names, feed)
        except Exception as error:  # onnxruntime's own exceptions share no base but this
            raise ExportMismatchError(
                f"fill_mask.onnx fails at {self._reference} tokens: {error}"
            ) from error
        return outputs
