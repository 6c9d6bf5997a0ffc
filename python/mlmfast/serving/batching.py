"""Texts of like length share a batch, so that little of it is padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Where larger batches stop being faster; on a GPU the copy of the logits sets the bound.
TOKENS = {"cpu": 512, "cuda": 4096}
# The graph returns batch x length x vocabulary numbers: this bounds them, at 4 bytes each.
LOGITS = {"cpu": 32 * 2**20, "cuda": 256 * 2**20}


def token_budget(device: str, vocab_size: int) -> int:
    """Tokens a batch may hold, padding included, so that its logits stay within memory."""
    return min(TOKENS[device], max(1, LOGITS[device] // vocab_size))


def batches(lengths: Sequence[int], budget: int, *, padding: bool = True) -> Iterator[list[int]]:
    """Split row numbers into batches, longest rows first.

    Args:
        lengths: tokens of each row.
        budget: tokens a batch may hold, counted as rows x longest row. A row longer than that is a
            batch of its own.
        padding: whether rows of different lengths may share a batch.

    Yields:
        Row numbers; every row occurs exactly once.
    """
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        longest = lengths[batch[0]] if batch else 0
        full = (len(batch) + 1) * longest > budget
        if batch and (full or not (padding or lengths[row] == longest)):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
