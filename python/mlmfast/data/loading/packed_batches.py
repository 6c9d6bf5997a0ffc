"""Rows of packed documents to masked batches: `PackedBatchMaker`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

import numpy as np

from mlmfast.data.loading.batches import Allocator, Array, BatchMaker, NumpyAllocator
from mlmfast.data.loading.block_masker import DOCUMENT_IDS

if TYPE_CHECKING:
    from mlmfast.data.loading.block_masker import BlockMasker
    from mlmfast.data.loading.document_packing import DocumentPacking
    from mlmfast.data.loading.mixture.masker import MixtureMasker

COLUMNS = ("input_ids", "labels", "attention_mask", DOCUMENT_IDS)
"""The arrays of a batch of packed documents."""
_AT_PADDING = {"labels": -100, "attention_mask": 0, DOCUMENT_IDS: -1}


@dataclass(frozen=True)
class PackedBatchMaker(Generic[Array]):
    """Reads documents of a store, masks them, and puts them side by side into rows.

    It makes batches as `BatchMaker` does, of rows of `packing` in place of blocks. A document has
    the masks that it has alone: they depend on the seed, the epoch and its block, whatever shares
    its row.

    Attributes:
        blocks: Reads and masks the documents.
        packing: Which documents share a row.
        allocator: Allocates the batch's arrays.
        columns: The arrays `[B, L]` of a batch, among `COLUMNS`; as in `BatchMaker`.
        positions: Whether a batch holds the masked positions; as in `BatchMaker`.
    """

    blocks: BatchMaker[np.ndarray]
    packing: DocumentPacking
    allocator: Allocator[Array]
    columns: tuple[str, ...] = COLUMNS
    positions: bool = False

    @classmethod
    def over(cls, maker: BatchMaker[Array], packing: DocumentPacking) -> PackedBatchMaker[Array]:
        """Return a maker of packed rows that otherwise makes the batches of `maker`."""
        left_out = set(maker.masker.columns) - set(maker.columns)
        blocks = BatchMaker(
            maker.masker, NumpyAllocator(), ("input_ids", "labels"), threads=maker.threads
        )
        columns = tuple(name for name in COLUMNS if name not in left_out)
        return cls(blocks, packing, maker.allocator, columns, maker.positions)

    @property
    def masker(self) -> BlockMasker | MixtureMasker:
        """What reads and masks the documents."""
        return self.blocks.masker

    def empty(self, rows: int) -> dict[str, Array]:
        """Allocate the arrays of a batch of `rows` rows, `[rows, L]` each, by column."""
        length = self.packing.row_length
        return {
            name: self.allocator.empty(rows, length, int32=name == DOCUMENT_IDS)
            for name in self.columns
        }

    def prefetch(self, row_ids: np.ndarray, epoch: int) -> None:
        """Say of which rows a batch will be made soon; stores at URLs load them meanwhile."""
        self.blocks.prefetch(self.packing.documents_of(row_ids, epoch)[0], epoch)

    def make(
        self,
        row_ids: np.ndarray,
        epoch: int,
        rate: float | None = None,
        *,
        out: dict[str, Array] | None = None,
    ) -> dict[str, Array]:
        """Make the batch of these rows; the arguments and errors are those of `BatchMaker.make`."""
        documents, ends = self.packing.documents_of(row_ids, epoch)
        masked = self.blocks.make(documents, epoch, rate)
        size = self.packing.row_length
        lengths = self.packing.lengths[documents.astype(np.int64)].astype(np.int64)
        counts = np.diff(ends, prepend=0)
        first = np.repeat(ends - counts, counts)  # the first document of each document's row
        number = np.arange(len(documents)) - first
        before = np.cumsum(lengths) - lengths
        begins = np.repeat(np.arange(len(ends)) * size, counts) + before - before[first]
        within = np.arange(lengths.sum()) - np.repeat(before, lengths)
        source = np.repeat(np.arange(len(documents)) * size, lengths) + within
        target = np.repeat(begins, lengths) + within
        values = {
            "input_ids": masked["input_ids"].reshape(-1)[source],
            "labels": masked["labels"].reshape(-1)[source],
            "attention_mask": 1,
            DOCUMENT_IDS: np.repeat(number, lengths),
        }
        batch = self.empty(len(row_ids)) if out is None else dict(out)
        padding = {**_AT_PADDING, "input_ids": self.masker.store.manifest.pad_token_id}
        for name, array in batch.items():
            flat = self.allocator.as_numpy(array).reshape(-1)
            flat.fill(padding[name])
            flat[target] = values[name]
        chosen = values["labels"] != -100
        if "labels" not in batch:
            kind = self.allocator.as_numpy(batch["input_ids"]).dtype
            batch["labels"] = self.allocator.from_numpy(values["labels"][chosen].astype(kind))
        if self.positions:
            batch["positions"] = self.allocator.from_numpy(target[chosen])  # ascending
        return batch
