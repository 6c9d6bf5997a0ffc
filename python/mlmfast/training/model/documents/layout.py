"""Where the documents of a batch lie: `Documents`."""

from __future__ import annotations

from functools import cached_property

import torch

from mlmfast.data.blocks.attention import block_diagonal_mask

PADDING = -1


class Documents:
    """The documents of a batch of rows.

    Everything is computed when it is first used, and once for all layers of a model.

    Args:
        ids: int32 or int64 `[B, L]`; 0, 1, 2, ... from left to right in each row, -1 at padding.
            Tokens with the same number in the same row are one document. Padding counts as a
            document of its own, so that its rows of attention are never empty.
    """

    def __init__(self, ids: torch.Tensor) -> None:
        self.ids = ids

    @cached_property
    def starts(self) -> torch.Tensor:
        """Whether a document (or padding) begins at a token, bool `[B, L]`."""
        starts = torch.ones_like(self.ids, dtype=torch.bool)
        starts[:, 1:] = self.ids[:, 1:] != self.ids[:, :-1]
        return starts

    @cached_property
    def positions(self) -> torch.Tensor:
        """The position of each token in its document, int64 `[B, L]`; 0 at padding."""
        columns = torch.arange(self.ids.shape[1], device=self.ids.device)
        positions = columns - torch.where(self.starts, columns, 0).cummax(1).values
        return positions.masked_fill_(self.ids == PADDING, 0)

    @cached_property
    def same(self) -> torch.Tensor:
        """Whether a query (third dimension) and a key are of one document, bool `[B, 1, L, L]`."""
        return block_diagonal_mask(self.ids)

    @cached_property
    def lengths(self) -> list[int]:
        """The lengths of all documents (and paddings), row by row; synchronizes with a GPU."""
        first = self.starts.flatten().nonzero()[:, 0].tolist()
        ends = [*first[1:], self.ids.numel()]
        return [end - start for start, end in zip(first, ends, strict=True)]

    @cached_property
    def cumulative_lengths(self) -> torch.Tensor:
        """Where each document begins in the flat batch, int32 `[D + 1]`; the last is `B * L`."""
        first = self.starts.flatten().nonzero()[:, 0]
        return torch.nn.functional.pad(first, (0, 1), value=self.ids.numel()).to(torch.int32)

    def share(self, chosen: torch.Tensor) -> torch.Tensor:
        """Return for each token which share of its document is chosen, float32 `[B, L]`.

        Args:
            chosen: bool `[B, L]`.
        """
        numbers = self.starts.flatten().cumsum(0) - 1
        counts = torch.zeros(2, self.ids.numel(), device=self.ids.device)
        counts[0].index_add_(0, numbers, chosen.flatten().float())
        counts[1].index_add_(0, numbers, torch.ones_like(counts[1]))
        return (counts[0] / counts[1].clamp(min=1))[numbers].view_as(self.ids)
