"""How far a lower precision agrees with float32 at the masks of texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.errors import InputError
from mlmfast.exporting.parity.logits import open_graph
from mlmfast.exporting.quantization.calibration import SENTENCES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# One token in so many is masked, as in training.
_EVERY = 7
# A best token that leads by this probability should not depend on rounding.
MARGIN = 0.02


@dataclass(frozen=True)
class Agreement:
    """A lower precision compared with float32 at the same masks.

    Attributes:
        texts: how many texts there were.
        built_in: whether they are the built-in sentences.
        masks: how many masks they have.
        top1_agreement: share of the masks at which both find the same best token.
        sure_masks: masks at which float32's best token leads its second by over 0.02.
        sure_top1_agreement: the same share of these; 1 where there are none.
        mean_shift: mean |change| of the probability of float32's best token.
        largest_shift: the largest.
    """

    texts: int
    built_in: bool
    masks: int
    top1_agreement: float
    sure_masks: int
    sure_top1_agreement: float
    mean_shift: float
    largest_shift: float


def measure_agreement(
    exact: Path,
    lowered: Path,
    tokenizer: Any,
    texts: Sequence[str] | None = None,
    *,
    max_length: int | None,
) -> Agreement:
    """Compare the predictions of two versions of fill_mask.onnx at the same masks.

    Args:
        exact: the graph in float32.
        lowered: the graph in a lower precision.
        tokenizer: the fast tokenizer of transformers.
        texts: the texts; None: the built-in sentences.
        max_length: tokens a text may have; longer texts are truncated.

    Raises:
        InputError: no text has a token that can be masked.
        ExportMismatchError: onnxruntime cannot open a graph.
    """
    sessions = [open_graph(graph) for graph in (exact, lowered)]
    names = [entry.name for entry in sessions[0].get_inputs()]
    read = 0
    same: list[bool] = []
    margins: list[float] = []
    shifts: list[float] = []
    for ids, positions in _masked(SENTENCES if texts is None else texts, tokenizer, max_length):
        read += 1
        shape = {"input_ids": ids[None], "attention_mask": np.ones((1, len(ids)), np.int64)}
        feed = {
            **shape,
            "token_type_ids": np.zeros((1, len(ids)), np.int64),
            "mask_positions": positions,
            "top_k": np.array(2),
            "want_probabilities": np.array(False),
            "targets": np.zeros(0, np.int64),
        }
        feed = {name: feed[name] for name in names}
        scores, tokens = sessions[0].run(["scores", "tokens"], feed)
        # Every mask's own best token is on the diagonal.
        feed["targets"] = tokens[:, 0].copy()
        best, shares = sessions[1].run(["tokens", "target_scores"], feed)
        same += (best[:, 0] == tokens[:, 0]).tolist()
        margins += (scores[:, 0] - scores[:, 1]).tolist()
        shifts += np.abs(np.diagonal(shares) - scores[:, 0]).tolist()
    if not same:
        raise InputError("The calibration texts hold no token that could be masked.")
    sure = np.array(margins) > MARGIN
    return Agreement(
        texts=read,
        built_in=texts is None,
        masks=len(same),
        top1_agreement=float(np.mean(same)),
        sure_masks=int(sure.sum()),
        sure_top1_agreement=float(np.array(same)[sure].mean()) if sure.any() else 1.0,
        mean_shift=float(np.mean(shifts)),
        largest_shift=float(np.max(shifts)),
    )


def _masked(
    texts: Sequence[str], tokenizer: Any, max_length: int | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield ids int64 [L] with masks in them, and the positions of the masks, int64 [M]."""
    for number, text in enumerate(texts):
        truncation = {} if max_length is None else {"truncation": True, "max_length": max_length}
        encoding = tokenizer(text, return_special_tokens_mask=True, **truncation)
        ids = np.array(encoding["input_ids"], dtype=np.int64)
        ordinary = np.flatnonzero(np.array(encoding["special_tokens_mask"]) == 0)
        positions = ordinary[number % min(_EVERY, max(len(ordinary), 1)) :: _EVERY]
        if len(positions):
            ids[positions] = tokenizer.mask_token_id
            yield ids, positions
