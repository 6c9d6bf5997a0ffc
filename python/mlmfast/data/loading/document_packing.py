"""Which documents share the rows of packed batches: `DocumentPacking`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.data.store.lengths import block_lengths
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from mlmfast.data.store.store import BlockStore


class DocumentPacking:
    """Puts the documents of a store with one per block into rows of a block's length.

    How many documents of which lengths share each row is decided once, by best-fit decreasing over
    all lengths. Which documents of a length they are is decided by a permutation keyed by (seed,
    epoch): the documents of a row are a pure function of (seed, epoch, row), and every epoch has
    the same number of rows and each document once. Memory holds 8 bytes for each document.

    Args:
        store: The documents.
        count: How many of them, from the first on; None for all.
        seed: Seed of the permutations, 0 to 2^64 - 1.

    Raises:
        InputError: The blocks of the store do not hold one document each.
    """

    def __init__(self, store: BlockStore, count: int | None, seed: int) -> None:
        from mlmfast import _core

        if store.manifest.packing != "none":
            raise InputError(
                f"The blocks of {str(store.path)!r} hold more than one document each "
                f"(packing={store.manifest.packing!r}), so that there is nothing to pack: prepare "
                "the store with --packing none, or train without pack_documents."
            )
        if not 0 <= seed < 1 << 64:
            raise InputError(f"seed must be between 0 and 2^64 - 1, got {seed}")
        self.lengths = block_lengths(store, len(store) if count is None else count)
        """Tokens of each document, int32 `[N]`."""
        self.row_length = store.block_size
        self.seed = seed
        self._rows = _core.RowPacking(self.lengths, self.row_length)

    @property
    def rows(self) -> int:
        """Rows in an epoch R, the same in each."""
        return self._rows.rows

    @property
    def fill_rate(self) -> float:
        """The share of the rows' positions that hold a token."""
        return float(self.lengths.sum(dtype=np.int64)) / (self.rows * self.row_length)

    def documents_of(self, rows: np.ndarray, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the documents of rows, row by row and in a row from the longest on.

        Args:
            rows: Numbers of rows, uint64 `[B]`.
            epoch: The epoch.

        Returns:
            The documents' block ids, uint64 `[D]`, and where those of each row end, int64 `[B]`.

        Raises:
            IndexError: There is no such row.
            InputError: The epoch is out of range.
        """
        if len(rows) and int(rows.max()) >= self.rows:
            raise IndexError(f"row {rows.max()} of {self.rows} rows of packed documents")
        try:
            return self._rows.documents_of(rows, seed=self.seed, epoch=epoch)
        except OverflowError:
            raise InputError(f"epoch must be between 0 and 2^64 - 1, got {epoch}") from None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_rows"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        from mlmfast import _core

        vars(self).update(state)
        self._rows = _core.RowPacking(self.lengths, self.row_length)
