"""Blocks of several stores, gathered and masked into one batch: `MixtureMasker`."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.data.loading.block_masker import DOCUMENT_IDS, BlockMasker, Buffers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.data.loading.mixture.order import Order
    from mlmfast.data.masking.options import MaskOptions
    from mlmfast.data.store.joined import JoinedStore

ATTENTION = "attention_mask"


class MixtureMasker:
    """Reads and masks items of an order over several stores, as `BlockMasker` does blocks of one.

    The rows of a batch are grouped by source, and by the source's epochs. A block has the masks
    that `mask_tokens` draws with the seed and the epoch of its source: a block that comes again has
    other masks.

    Args:
        store: The stores, joined.
        order: Says which blocks items are.
        seeds: Seed of the masks of each source.
        options: How the masks are drawn; see `BlockMasker`.

    Raises:
        InputError: An option is unknown, out of its range, or does not fit another.
    """

    def __init__(
        self, store: JoinedStore, order: Order, *, seeds: Sequence[int], options: MaskOptions
    ) -> None:
        self.store = store
        self.order = order
        first = BlockMasker(store.stores[0], seed=seeds[0], options=options)
        # With the first one's options, in which the words have been found already.
        others = [
            BlockMasker(one, seed=seed, options=first.options)
            for one, seed in zip(store.stores[1:], seeds[1:], strict=True)
        ]
        self._maskers = (first, *others)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the dense outputs; `attention_mask` only where a store has padding."""
        padded = any(masker.pad_id is not None for masker in self._maskers)
        names = ("input_ids", "labels")
        return (*names, ATTENTION) if padded else names

    @property
    def columns_with_documents(self) -> tuple[str, ...]:
        """Names of the dense outputs and `document_ids`.

        Raises:
            InputError: A store does not know where documents begin.
        """
        for each in self.store.stores:
            each.check_document_starts()
        return (*self.columns, DOCUMENT_IDS)

    def block_ids(self, items: np.ndarray, epoch: int) -> np.ndarray:
        """Return the blocks of items, row by row of their batch, as the joined store numbers them.

        Args:
            items: uint64 `[B]`.
            epoch: The epoch.
        """
        first = self.store.first_blocks
        runs = [run.blocks + first[run.source] for run in self.order.runs(items, epoch)]
        return np.concatenate([np.empty(0, np.uint64), *runs])

    def fill(
        self,
        block_ids: np.ndarray,
        buffers: Buffers,
        *,
        epoch: int,
        rate: float | None = None,
        threads: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Mask items, here called `block_ids`; arguments and results are `BlockMasker.fill`'s.

        Raises:
            IndexError: There is no such item.
            InputError: The epoch is out of range, or an id is outside of the vocabulary.
            StoreError: The document starts are damaged.
        """
        positions = [np.empty(0, np.int64)]
        labels = [np.empty(0, buffers["input_ids"].dtype)]
        first, length = 0, self.store.block_size
        for run in self.order.runs(block_ids, epoch):
            stop = first + len(run.blocks)
            rows = {name: array[first:stop] for name, array in buffers.items()}
            masker = self._maskers[run.source]
            if masker.pad_id is None and ATTENTION in rows:
                rows.pop(ATTENTION)[:] = 1
            where, what = masker.fill(run.blocks, rows, epoch=run.epoch, rate=rate, threads=threads)
            positions.append(where + first * length)
            if what is not None:
                labels.append(what)
            first = stop
        found = None if "labels" in buffers else np.concatenate(labels)
        return np.concatenate(positions), found

    @property
    def reads_ahead(self) -> bool:
        """Whether `prefetch` does something."""
        return any(masker.reads_ahead for masker in self._maskers)

    def prefetch(self, block_ids: np.ndarray, epoch: int) -> None:
        """Say which items a later call of `fill` will read; stores elsewhere load them."""
        for run in self.order.runs(block_ids, epoch):
            self._maskers[run.source].prefetch(run.blocks, run.epoch)

    def fingerprint(self) -> dict[str, Any]:
        """Return what the masked blocks depend on, in values that JSON can hold."""
        parts = [masker.fingerprint() for masker in self._maskers]
        data = "".join(part["data"] for part in parts)
        return parts[0] | {
            "data": hashlib.sha256(data.encode()).hexdigest(),
            "blocks": len(self.store),
            "mixture": list(getattr(self.order, "slots", ())),
        }
