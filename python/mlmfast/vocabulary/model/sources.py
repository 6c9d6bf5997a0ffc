"""Where the rows of a new vocabulary come from: old rows, or means of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Old rows with weights that sum to one.
Mixture = dict[int, float]
# Elements of the old rows that are gathered at a time, to bound the memory.
_AT_ONCE = 1 << 26


@dataclass(frozen=True)
class RowSources:
    """The rows of a new table, `[N]`, in terms of an old one.

    Attributes:
        copies: int64 `[N]`, the old row that a new one copies.
        mixtures: new row -> its mixture, where it is no copy.
    """

    copies: torch.Tensor
    mixtures: Mapping[int, Mixture]

    @classmethod
    def of(cls, sources: Sequence[int | Mixture]) -> RowSources:
        """Take one source for each new row."""
        mixtures = {at: one for at, one in enumerate(sources) if isinstance(one, dict)}
        copies = [next(iter(one)) if isinstance(one, dict) else one for one in sources]
        return cls(torch.tensor(copies, dtype=torch.int64), mixtures)

    def __len__(self) -> int:
        """Return the number of new rows."""
        return len(self.copies)

    @property
    def copied(self) -> torch.Tensor:
        """The new rows that are copies, int64 `[C]`."""
        chosen = torch.ones(len(self), dtype=torch.bool)
        chosen[list(self.mixtures)] = False
        return chosen.nonzero().flatten()

    def table(self, old: torch.Tensor, dimension: int) -> torch.Tensor:
        """Return the new table; copies have the same bits, means are computed in float32.

        Args:
            old: a table whose `dimension` is the old vocabulary.
            dimension: the dimension.
        """
        new = old.index_select(dimension, self.copies)
        if not old.is_floating_point():
            return new
        width = max(1, old.numel() // old.shape[dimension])
        pending: list[int] = []
        elements = 0
        for row, mixture in self.mixtures.items():
            pending.append(row)
            elements += width * len(mixture)
            if elements >= _AT_ONCE:
                self._mix(old, new, dimension, pending)
                pending, elements = [], 0
        self._mix(old, new, dimension, pending)
        return new

    def _mix(
        self, old: torch.Tensor, new: torch.Tensor, dimension: int, rows: Sequence[int]
    ) -> None:
        if not rows:
            return
        mixtures = [self.mixtures[row] for row in rows]
        numbers = torch.tensor([number for one in mixtures for number in one])
        weights = torch.tensor([weight for one in mixtures for weight in one.values()])
        owners = torch.repeat_interleave(torch.tensor([len(one) for one in mixtures]))
        parts = old.movedim(dimension, 0).index_select(0, numbers).float()
        parts = parts * weights.reshape(-1, *[1] * (parts.dim() - 1))
        sums = torch.zeros(len(rows), *parts.shape[1:]).index_add_(0, owners, parts)
        new.movedim(dimension, 0)[torch.tensor(rows)] = sums.to(new.dtype)
