"""What a lower precision costs, on text: the same masks asked of both graphs."""

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

# One token in so many is asked for, as many masks as training has.
_EVERY = 7
# A best token that is ahead by this much should not depend on rounding.
MARGIN = 0.02


@dataclass(frozen=True)
class Agreement:
    """A lower precision beside float32, on the same masks.

    Attributes:
        texts: that were read.
        built_in: whether they are the built-in sentences.
        masks: that were asked for in them.
        top1_agreement: share of the masks at which both find the same best token.
        sure_masks: masks at which float32's best token is ahead of its second by over 0.02.
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
    longest: int | None,
) -> Agreement:
    """Ask two forms of fill_mask.onnx for the same masks.

    Args:
        exact: the graph in float32.
        lowered: the other.
        tokenizer: the fast tokenizer of transformers.
        texts: what to read; None: the built-in sentences.
        longest: tokens a text may have; longer texts are cut.

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
    for ids, places in _masked(SENTENCES if texts is None else texts, tokenizer, longest):
        read += 1
        shape = {"input_ids": ids[None], "attention_mask": np.ones((1, len(ids)), np.int64)}
        feed = {
            **shape,
            "token_type_ids": np.zeros((1, len(ids)), np.int64),
            "mask_positions": places,
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
    texts: Sequence[str], tokenizer: Any, longest: int | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield ids int64 [L] with masks in them, and the places of the masks, int64 [M]."""
    for number, text in enumerate(texts):
        cut = {} if longest is None else {"truncation": True, "max_length": longest}
        coded = tokenizer(text, return_special_tokens_mask=True, **cut)
        ids = np.array(coded["input_ids"], dtype=np.int64)
        ordinary = np.flatnonzero(np.array(coded["special_tokens_mask"]) == 0)
        places = ordinary[number % min(_EVERY, max(len(ordinary), 1)) :: _EVERY]
        if len(places):
            ids[places] = tokenizer.mask_token_id
            yield ids, places
