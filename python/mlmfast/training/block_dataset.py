"""The blocks of a store as a torch data set of masked batches: `BlockDataset`.

A batch is read and masked in one call (`__getitems__`), so the data loader's collate function,
`keep_batch`, has nothing to do. The masks are a pure function of (seed, epoch, block), hence the
same for any batch size, any number of workers, and after a resume.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

from mlmfast.data.loading.batches import BatchMaker
from mlmfast.data.loading.block_masker import BlockMasker
from mlmfast.data.loading.buffer_pool import BufferPool, TensorAllocator
from mlmfast.data.loading.mixture.masker import MixtureMasker
from mlmfast.data.masking.mask_rates import RowRates, parse_mask_rate
from mlmfast.data.store.lengths import block_lengths

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from mlmfast.data.loading.buffer_pool import Batch
    from mlmfast.data.loading.document_packing import DocumentPacking
    from mlmfast.data.loading.packed_batches import PackedBatchMaker
    from mlmfast.data.masking.options import MaskOptions, StoreModeOptions
    from mlmfast.data.store.store import BlockStore


def keep_batch(batch: Any) -> Any:
    """Return the batch unchanged: the collate function for data sets that return whole batches."""
    return batch


class BlockDataset(Dataset):
    """The blocks of a store, masked; the base of `MaskedBlocks` and `EvaluationBlocks`.

    Args:
        store: The blocks, `[N, L]`.
        seed: Seed of the masks, 0 to 2^64 - 1.
        mlm_probability: Share of the ordinary tokens that are chosen; `"uniform:LOW,HIGH"` or
            `"beta:A,B"` draws one for each block in each epoch.
        mask_replace_prob: Share of the chosen tokens that become the mask token.
        random_replace_prob: Share of the chosen tokens that become a random word; the rest stay.
        pad_to_max_length: Keep all rows at the length of a block. Otherwise the batches of a store
            with one document per block are cut to their longest document, L' <= L.
        limit: The number of blocks to use, from the first on; None for all.
        documents: Add `document_ids` to the batches, which number the documents of each block.
        modes: `mode`, `masks_per_row` and so on, as `mlmfast.mask_tokens` explains them;
            `mode="whole_word"` finds the words with the store's own tokenizer,
            `word_boundaries="characters"` also in text without blanks.

    Raises:
        InputError: An option is unknown, out of its range, or does not fit another, or the store
            does not know where its `documents` begin.
    """

    def __init__(
        self,
        store: BlockStore,
        *,
        seed: int = 0,
        mlm_probability: float | str = 0.15,
        mask_replace_prob: float = 0.8,
        random_replace_prob: float = 0.1,
        pad_to_max_length: bool = False,
        limit: int | None = None,
        documents: bool = False,
        **modes: Unpack[StoreModeOptions],
    ) -> None:
        self.store = store
        self.seed = seed
        self.documents = documents
        self.mlm_probability = mlm_probability
        options: MaskOptions = {
            **modes,
            "mlm_probability": mlm_probability,
            "mask_replace_prob": mask_replace_prob,
            "random_replace_prob": random_replace_prob,
        }
        masker = self._make_masker(options)
        columns = masker.columns_with_documents if documents else masker.columns
        # The caller's batch, the next one, and one that is being made.
        pool = BufferPool(keep=3 * len(columns))
        self._block_maker = BatchMaker(masker, TensorAllocator(pool), columns)
        self._maker: BatchMaker[torch.Tensor] | PackedBatchMaker[torch.Tensor] = self._block_maker
        self._trims = store.manifest.packing == "none" and not pad_to_max_length
        self._count = len(store) if limit is None else min(limit, len(store))
        self.packing: DocumentPacking | None = None
        """Which documents share a row, if items are rows of packed documents and not blocks."""

    def __len__(self) -> int:
        return self._count

    def _make_masker(self, options: MaskOptions) -> BlockMasker | MixtureMasker:
        """Return what reads and masks the items of the data set."""
        return BlockMasker(self.store, seed=self.seed, options=options)

    def fingerprint(self) -> dict[str, Any]:
        """Return what the items depend on, in values that JSON can hold."""
        return self._block_maker.masker.fingerprint() | {
            "items": len(self),
            "documents": "separate" if self.documents else "joined",
        }

    @property
    def blocks(self) -> int:
        """Number of the store's blocks that an epoch reads."""
        return len(self) if self.packing is None else len(self.packing.lengths)

    @property
    def epoch(self) -> int:
        """The epoch whose masks the next batch has."""
        raise NotImplementedError

    @property
    def fill_rate(self) -> float:
        """The share of the positions of all items, uncut, that are not padding."""
        if self.packing is not None:
            return self.packing.fill_rate
        manifest, count = self.store.manifest, len(self)
        if count == manifest.blocks or not manifest.padding_tokens:
            return manifest.fill_rate
        filled = int(block_lengths(self.store, count).sum(dtype=np.int64))
        return filled / (count * manifest.block_size)

    def block_ids(self, indices: np.ndarray, epoch: int) -> np.ndarray:
        """Return the blocks of the store that items read in an epoch, uint64 `[D]`.

        Args:
            indices: Numbers of items, uint64 `[B]`.
            epoch: The epoch.
        """
        if self.packing is not None:
            return self.packing.documents_of(indices, epoch)[0]
        masker = self._block_maker.masker
        return masker.block_ids(indices, epoch) if isinstance(masker, MixtureMasker) else indices

    @property
    def reads_ahead(self) -> bool:
        """Whether `prefetch` does something: blocks of a store at a URL are still to be read."""
        return self._maker.masker.reads_ahead

    def prefetch(self, indices: np.ndarray) -> None:
        """Say which items, uint64 `[B]`, are read soon; stores at URLs load their blocks."""
        self._maker.prefetch(indices, self.epoch)

    @property
    def mean_mask_rate(self) -> float:
        """The mask rate, or the mean of the distribution that the blocks' rates are drawn from."""
        rate = parse_mask_rate(self.mlm_probability)
        return rate.mean if isinstance(rate, RowRates) else rate

    def lengths(self) -> np.ndarray | None:
        """Count the tokens of each block without padding, `[N]`; None if batches are not cut."""
        if not self._trims:
            return None
        return block_lengths(self.store, len(self))

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Read and mask the blocks with these ids; without any, return a batch without labels.

        Returns:
            `input_ids` and `labels`, int64 `[B, L]` (labels are -100 where nothing was chosen), and
            `attention_mask`, int64 `[B, L]`, if the store has padding: what every model takes, and
            what accelerate and DataParallel can split by rows. With `documents`, `document_ids`,
            int32 `[B, L]`: 0, 1, 2 ... by the documents of a block, -1 on the padding at its end.
        """
        return self._masked_batch(indices) if len(indices) else self._batch_without_labels()

    def __getitem__(self, index: int) -> Batch:
        """Read and mask one block; the tensors have the shape `[L]`."""
        return {name: tensor[0] for name, tensor in self.__getitems__([index]).items()}

    def _masked_batch(self, indices: Sequence[int], rate: float | None = None) -> Batch:
        """Read and mask blocks; without a rate, at that of the options."""
        block_ids = np.asarray(indices, dtype=np.int64)
        if block_ids.size and block_ids.min() < 0:
            raise IndexError(f"block {block_ids.min()}: blocks are numbered from 0 on")
        batch = self._maker.make(block_ids.astype(np.uint64), self.epoch, rate)
        return _trim(batch) if self._trims and "attention_mask" in batch else batch

    def _batch_without_labels(self) -> Batch:
        """Return one block without labels, for a rank that has no block of a global batch.

        The rank still runs the model on it, since the others wait for it.
        """
        batch = self._masked_batch([0])
        batch["labels"].fill_(-100)
        return batch


def _trim(batch: Batch) -> Batch:
    """Drop the columns that are padding in every row."""
    longest = int(batch["attention_mask"].any(0).nonzero().max()) + 1
    return {name: tensor[:, :longest].clone() for name, tensor in batch.items()}
