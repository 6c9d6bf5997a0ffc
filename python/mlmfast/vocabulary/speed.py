"""How long a forward pass takes before and after."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from mlmfast.torch_models import max_input_length
from mlmfast.training.model.masked_head import MaskedHead
from mlmfast.training.model.masked_rows import IGNORED

if TYPE_CHECKING:
    from collections.abc import Callable

_ROWS, _LENGTH, _ROUNDS = 8, 128, 5


@dataclass(frozen=True)
class Speed:
    """Medians of the times of a pass, in milliseconds.

    Attributes:
        rows: texts in the batch.
        length: tokens of each.
        times: what was computed -> the times before and after.
    """

    rows: int
    length: int
    times: dict[str, tuple[float, float]]


@torch.no_grad()
def compare_speed(before: Any, after: Any) -> Speed:
    """Time a pass of two models on the CPU, in turn: all logits, and those of one mask a text.

    The first is what `model(**batch)` computes, the second what mlmfast computes to fill a mask.

    Args:
        before: a masked language model of transformers, evaluating.
        after: the same model with another vocabulary.
    """
    positions = max_input_length(before)
    length = _LENGTH if positions is None else min(_LENGTH, positions.usable)
    ways = {"all logits": _whole_pass, "one mask a text": _masked_pass}
    times = {}
    for name, way in ways.items():
        passes = [way(model, _ids(model, length)) for model in (before, after)]
        rounds = [[_milliseconds(one) for one in passes] for _ in range(_ROUNDS + 1)][1:]
        first, second = (statistics.median(each) for each in zip(*rounds, strict=True))
        times[name] = (first, second)
    return Speed(_ROWS, length, times)


def _ids(model: Any, length: int) -> torch.Tensor:
    rows = model.get_input_embeddings().num_embeddings
    return torch.arange(_ROWS * length).reshape(_ROWS, length) * 7919 % rows


def _whole_pass(model: Any, ids: torch.Tensor) -> Callable[[], object]:
    return lambda: model(input_ids=ids)


def _masked_pass(model: Any, ids: torch.Tensor) -> Callable[[], object]:
    labels = torch.full_like(ids, IGNORED)
    labels[:, ids.shape[1] // 2] = 0
    head = MaskedHead(model)
    return lambda: head(model, {"input_ids": ids}, labels)


def _milliseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e3
