"""Which texts share a batch: those of similar length, so that little of it is padding."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Where larger batches stop being faster.
TOKENS = {"cpu": 512, "openvino": 512, "cuda": 16384, "tensorrt-rtx": 16384}
# Batches smaller than this lose more time than one more core saves.
_FEWEST_TOKENS = 128
# Bounds the logits, batch x length x vocabulary numbers of 4 bytes, of graphs that output them.
LOGITS = {
    "cpu": 32 * 2**20,
    "openvino": 32 * 2**20,
    "cuda": 256 * 2**20,
    "tensorrt-rtx": 256 * 2**20,
}


def token_budget(device: str, vocab_size: int, *, outputs_logits: bool) -> int:
    """Tokens a batch may hold, padding included.

    Args:
        device: one of the keys of TOKENS.
        vocab_size: logits of one token.
        outputs_logits: whether the graph outputs logits, which must fit into memory.
    """
    if not outputs_logits:
        return TOKENS[device]
    return min(TOKENS[device], 4096, max(1, LOGITS[device] // vocab_size))


@dataclass(frozen=True, slots=True)
class BatchRules:
    """Which masked texts may share a batch.

    Attributes:
        budget: tokens a batch may hold, counted as rows x longest row. A longer row is a batch of
            its own.
        padding: whether rows of different lengths may share a batch.
        independent: whether every row is a batch of its own.
        rows: rows a batch may hold; None: as many as the budget allows.
    """

    budget: int
    padding: bool = True
    independent: bool = False
    rows: int | None = None

    def shared_by(self, workers: int, tokens: int) -> BatchRules:
        """Lower the budget so that all workers get some of `tokens`, in batches worth a call."""
        return replace(self, budget=min(self.budget, max(_FEWEST_TOKENS, -(-tokens // workers))))


def batches(lengths: Sequence[int], rules: BatchRules) -> Iterator[list[int]]:
    """Split row numbers into batches, longest rows first.

    Args:
        lengths: tokens of each row.
        rules: which rows may share a batch.

    Yields:
        Row numbers; every row occurs exactly once.
    """
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        longest = lengths[batch[0]] if batch else 0
        full = (
            rules.independent
            or (len(batch) + 1) * longest > rules.budget
            or (rules.rows is not None and len(batch) >= rules.rows)
        )
        if batch and (full or not (rules.padding or lengths[row] == longest)):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
