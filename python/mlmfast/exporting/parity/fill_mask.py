"""Whether fill_mask.onnx gives the answers of the checkpoint, at shapes it was not traced with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import ExportMismatchError
from mlmfast.exporting.parity.logits import ShapeParity

if TYPE_CHECKING:
    from mlmfast.exporting.parity.logits import Reference

_MANY = 12
# Shares smaller than this are rounded by the exponential, not by the model.
TINY = 1e-30


def compare_fused(
    session: Any, reference: Reference, *, max_difference: float, every_top_k: bool = True
) -> list[ShapeParity]:
    """Ask the graph for the masks of one reference: one a text, then many, one text left out.

    Args:
        session: onnxruntime's, of fill_mask.onnx.
        reference: inputs of one shape, and the checkpoint's logits.
        max_difference: as for `parity.compare`; the differences are those of log-probabilities,
            which lie as far apart as the logits do.
        every_top_k: ask for no token, for one and for the whole vocabulary too. What answers that
            sees a mask's logits and nothing of the texts, so that one shape shows it for all.

    Raises:
        ExportMismatchError: the graph cannot be run, or contradicts itself: scores that are not
            those of the tokens, another order, other shapes.
    """
    draw = np.random.default_rng(reference.logits.shape[1])
    length = reference.logits.shape[1]
    places = [row * length + np.flatnonzero(real) for row, real in enumerate(reference.real)]
    one = np.array([draw.choice(row) for row in places])
    some = np.concatenate(places[1:] or places)
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
    ask = _Probe(session, reference, positions)
    found = ask.probabilities(min(5, vocab_size), [vocab_size - 1, 0, vocab_size // 2])
    if every_top_k:
        for top_k in {0, 1, vocab_size}:
            ask.require_consistent(top_k, [] if top_k == 1 else [0, vocab_size - 1], found)
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


class _Probe:
    """Questions about the same masks of one reference."""

    def __init__(self, session: Any, reference: Reference, positions: np.ndarray) -> None:
        self._session = session
        self._reference = reference
        self._positions = positions

    def probabilities(self, top_k: int, targets: list[int]) -> np.ndarray:
        """Return the probabilities [masks, vocabulary], which fit the rest of the answer."""
        *answer, found = self._run(top_k, targets, probabilities=True)
        self._require_fit(answer, top_k, targets, found)
        return found

    def require_consistent(self, top_k: int, targets: list[int], probabilities: np.ndarray) -> None:
        """Compare an answer without probabilities with those of another."""
        *answer, none = self._run(top_k, targets, probabilities=False)
        if none.shape != (0, probabilities.shape[1]):
            raise self._contradiction(top_k, targets)
        self._require_fit(answer, top_k, targets, probabilities)

    def _require_fit(
        self, answer: list[np.ndarray], top_k: int, targets: list[int], shares: np.ndarray
    ) -> None:
        scores, tokens, asked = answer
        fits = (
            tokens.shape == (len(self._positions), top_k)
            and asked.shape == (len(self._positions), len(targets))
            and np.allclose(scores, np.take_along_axis(shares, tokens, -1), rtol=1e-4)
            and np.allclose(scores, -np.sort(-shares, axis=-1)[:, :top_k], rtol=1e-4)
            and np.allclose(asked, shares[:, targets], rtol=1e-4)
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
        taken = {entry.name for entry in self._session.get_inputs()}
        inputs = self._reference.inputs.items()
        feed = {
            **{name: value for name, value in inputs if name in taken},
            "mask_positions": self._positions,
            "top_k": np.array(top_k),
            "targets": np.array(targets, dtype=np.int64),
            "want_probabilities": np.array(probabilities),
        }
        names = ["scores", "tokens", "target_scores", "probabilities"]
        try:
            found: list[np.ndarray] = self._session.run(names, feed)
        except Exception as error:  # onnxruntime's own exceptions share no base but this
            raise ExportMismatchError(
                f"fill_mask.onnx fails at {self._reference} tokens: {error}"
            ) from error
        return found
