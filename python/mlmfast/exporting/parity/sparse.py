"""Compare sparse.onnx with the checkpoint, at shapes other than the traced ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import ExportMismatchError
from mlmfast.exporting.parity.logits import ShapeParity
from mlmfast.exporting.sparse.outputs import OUTPUTS

if TYPE_CHECKING:
    from mlmfast.exporting.parity.logits import Reference
    from mlmfast.exporting.sparse.definition import SparseDefinition

_TOP_K = 3


def compare_sparse(
    session: Any, reference: Reference, definition: SparseDefinition, *, max_difference: float
) -> ShapeParity:
    """Compare the weights of every word for one reference.

    Args:
        session: the onnxruntime session of sparse.onnx.
        reference: inputs of one shape, and the checkpoint's logits.
        definition: what the weights are.
        max_difference: as for `compare_logits`. log(1 + relu(x)) changes by no more than x does, so
            that a maximum has the limit of the logits; a sum has that of each of its terms.

    Raises:
        ExportMismatchError: the graph cannot be run, or `top_k` and `threshold` do not take what
            they should of its own weights.
    """
    expected = expected_weights(reference, definition)
    probe = _Probe(session, reference, expected.shape)
    actual = probe.weights()
    probe.require_consistent(actual)
    largest = max(1.0, float(np.abs(reference.logits[reference.real]).max()))
    terms = int(reference.real.sum(axis=1).max()) if definition.pooling == "sum" else 1
    return ShapeParity(
        batch=expected.shape[0],
        length=reference.real.shape[1],
        padded=reference.padded,
        difference=float(np.abs(actual - expected).max()),
        limit=max_difference * largest * terms,
        top1_agreement=float((actual.argmax(-1) == expected.argmax(-1)).mean()),
    )


def expected_weights(reference: Reference, definition: SparseDefinition) -> np.ndarray:
    """Compute what SpladePooling makes of the checkpoint's logits, float32 [batch, vocabulary]."""
    rows = []
    for logits, real in zip(reference.logits, reference.real, strict=True):
        weights = np.log1p(np.maximum(logits[real], 0))
        if definition.activation == "log1p_relu":
            weights = np.log1p(weights)
        rows.append(weights.max(axis=0) if definition.pooling == "max" else weights.sum(axis=0))
    return np.stack(rows)


class _Probe:
    """Runs sparse.onnx at one reference with different options."""

    def __init__(self, session: Any, reference: Reference, shape: tuple[int, ...]) -> None:
        self._session = session
        self._reference = reference
        self._shape = shape

    def weights(self, top_k: int = 0, threshold: float = 0.0) -> np.ndarray:
        """Return the weights as a matrix [batch, vocabulary], special tokens among them."""
        known = {entry.name for entry in self._session.get_inputs()}
        inputs = self._reference.inputs.items()
        feed = {
            **{name: value for name, value in inputs if name in known},
            "top_k": np.array(top_k),
            "threshold": np.array(threshold, np.float32),
            "keep_special": np.array(True),
        }
        try:
            counts, ids, weights = self._session.run([*OUTPUTS], feed)
        except Exception as error:  # onnxruntime's own exceptions share no base but this
            raise ExportMismatchError(
                f"sparse.onnx fails at {self._reference} tokens: {error}"
            ) from error
        matrix = np.zeros(self._shape, np.float32)
        rows = np.repeat(np.arange(len(counts)), counts)
        if counts.shape != self._shape[:1] or len(rows) != len(ids) or len(ids) != len(weights):
            raise self._contradiction(top_k, threshold)
        matrix[rows, ids] = weights
        return matrix

    def require_consistent(self, every: np.ndarray) -> None:
        """Check `top_k` and `threshold` against the weights of all words."""
        k = min(_TOP_K, self._shape[1])
        best = self.weights(top_k=k)
        least = -np.sort(-every, axis=1)[:, k - 1 : k]
        right = np.where(best > 0, best, every)
        middle = float(np.median(every[every > 0])) if (every > 0).any() else 0.0
        heavy = np.where(every > middle, every, 0)
        if (
            ((best > 0).sum(axis=1) != np.minimum(k, (every > 0).sum(axis=1))).any()
            or not np.allclose(right, every, rtol=1e-5)
            or (best[best > 0] < np.broadcast_to(least, best.shape)[best > 0] * (1 - 1e-5)).any()
        ):
            raise self._contradiction(k, 0.0)
        # Near the threshold a rounding decides.
        off = np.abs(self.weights(threshold=middle) - heavy) > 1e-5 * (1 + every)
        if (off & (np.abs(every - middle) > 1e-5 * (1 + middle))).any():
            raise self._contradiction(0, middle)

    def _contradiction(self, top_k: int, threshold: float) -> ExportMismatchError:
        return ExportMismatchError(
            f"sparse.onnx contradicts itself at {self._reference} tokens: what it gives for "
            f"top_k={top_k} and threshold={threshold:.4g} is not taken from its own weights. "
            "Nothing was written."
        )
