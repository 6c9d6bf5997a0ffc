"""Block stores as torch data sets whose rows come out masked.

A batch is read and masked in one call (`__getitems__`), so the data loader's collate function has
nothing left to do: it is `keep_batch`. The masks are a pure function of (seed, epoch, block), hence
the same for any batch size, any number of workers, and after a resume.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

from mlmfast.data.loading.block_masker import BlockMasker
from mlmfast.data.loading.buffer_pool import BufferPool
from mlmfast.data.masking.schedule import MaskRateSchedule
from mlmfast.data.store.lengths import block_lengths
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from mlmfast.data.masking.options import MaskOptions, StoreModeOptions
    from mlmfast.data.store.store import BlockStore

Batch = dict[str, torch.Tensor]


def keep_batch(batch: Any) -> Any:
    """Return the batch as it is: the collate function of a data set that yields whole batches."""
    return batch


class EvaluationBlocks(Dataset):
    """Blocks under masks that never change, so that two evaluations can be compared.

    Args:
        store: the blocks, `[N, L]`.
        seed: key of the masks.
        mlm_probability: share of the ordinary tokens that are chosen.
        mask_replace_prob: share of the chosen tokens that become the mask token.
        random_replace_prob: share of the chosen tokens that become a random word; the rest stay.
        limit: take the first so many blocks only; None takes all.
        pad_to_max_length: keep all rows at the block's length; otherwise the rows of a store with
            a document a block are cut to the batch's longest document, L' <= L.
        modes: `mode`, `masks_per_row` and so on, as `mlmfast.mask_tokens` explains them;
            `mode="whole_word"` finds the words by the store's own tokenizer, with
            `word_boundaries="characters"` in text without blanks, too.

    Raises:
        InputError: An option that cannot be.
    """

    def __init__(
        self,
        store: BlockStore,
        *,
        seed: int = 0,
        mlm_probability: float = 0.15,
        mask_replace_prob: float = 0.8,
        random_replace_prob: float = 0.1,
        pad_to_max_length: bool = False,
        limit: int | None = None,
        **modes: Unpack[StoreModeOptions],
    ) -> None:
        self.store = store
        self.seed = seed
        self.mlm_probability = mlm_probability
        options: MaskOptions = {
            **modes,
            "mlm_probability": mlm_probability,
            "mask_replace_prob": mask_replace_prob,
            "random_replace_prob": random_replace_prob,
        }
        self._masker = BlockMasker(store, seed=seed, options=options)
        # The batch that the user holds, the next one, and one that is on its way.
        self._pool = BufferPool(keep=3 * len(self._masker.columns))

        self._trims = store.manifest.packing == "none" and not pad_to_max_length
        self._count = len(store) if limit is None else min(limit, len(store))

    def __len__(self) -> int:
        return self._count

    @property
    def epoch(self) -> int:
        """The epoch whose masks are given out."""
        return 0

    def lengths(self) -> np.ndarray | None:
        """Count the tokens of each block without its padding, `[N]`; None where all are as long."""
        if not self._trims:
            return None
        return block_lengths(self.store, len(self))

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Read and mask the blocks with these numbers; without any, one block that asks nothing.

        Returns:
            `input_ids` and `labels`, int64 `[B, L]` (labels are -100 where nothing was chosen), and
            `attention_mask`, int64 `[B, L]`, if the store has padding: what every model takes, and
            what accelerate and DataParallel can cut into rows.
        """
        if not len(indices):
            return self._asking_nothing()
        return self._masked(indices)

    def _masked(self, indices: Sequence[int], rate: float | None = None) -> Batch:
        """Read and mask blocks, at a rate of their own where there is one."""
        blocks = np.asarray(indices, dtype=np.int64)
        if blocks.size and blocks.min() < 0:
            raise IndexError(f"block {blocks.min()}: blocks are numbered from 0 on")
        shape = (len(blocks), self.store.block_size)
        batch = {name: self._pool.take(*shape, torch.int64) for name in self._masker.columns}
        buffers = {name: tensor.numpy() for name, tensor in batch.items()}
        self._masker.fill(blocks.astype(np.uint64), buffers, epoch=self.epoch, rate=rate)
        return _trimmed(batch) if self._trims and "attention_mask" in batch else batch

    def _asking_nothing(self) -> Batch:
        """A batch for a process that has no block of a global batch, but must keep in step."""
        batch = EvaluationBlocks.__getitems__(self, [0])
        batch["labels"].fill_(-100)
        return batch

    def __getitem__(self, index: int) -> Batch:
        """Read and mask one block; the tensors have the shape `[L]`."""
        return {name: tensor[0] for name, tensor in self.__getitems__([index]).items()}


def _trimmed(batch: Batch) -> Batch:
    """Cut the columns off that are padding in every row."""
    longest = int(batch["attention_mask"].any(0).nonzero().max()) + 1
    return {name: tensor[:, :longest].clone() for name, tensor in batch.items()}


class MaskedBlocks(EvaluationBlocks):
    """Blocks under masks that are new in every epoch, for training; see `EvaluationBlocks`.

    Args:
        store: the blocks, `[N, L]`.
        mask_rate_schedule: in place of `mlm_probability`, how the rate changes from the first step
            to the last, as `mlmfast.MaskRateSchedule` has it; the steps are given by `schedule`.
        options: as of `EvaluationBlocks`.
    """

    def __init__(
        self, store: BlockStore, *, mask_rate_schedule: str | None = None, **options: Any
    ) -> None:
        if mask_rate_schedule is not None:
            rates = MaskRateSchedule(mask_rate_schedule, 1)
            options["mlm_probability"] = rates.start
        super().__init__(store, **options)
        self.rates = mask_rate_schedule
        self._schedule: MaskRateSchedule | None = None
        # Workers that outlive an epoch (persistent_workers) hold a copy of this object: only memory
        # shared with them can tell them that a new epoch has begun.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """The epoch whose masks are given out."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Give out the masks of this epoch from the next batch on."""
        self._epoch.fill_(epoch)

    def schedule(self, steps: int) -> None:
        """Let the mask rate come to its end after so many optimizer steps."""
        if self.rates is not None:
            self._schedule = MaskRateSchedule(self.rates, steps)

    def rate_at(self, step: int) -> float:
        """The mask rate of an optimizer step, counted from 0."""
        return self.mlm_probability if self._schedule is None else self._schedule.rate(step)

    def of_step(self, indices: Sequence[int], step: int) -> Batch:
        """Read and mask these blocks at the rate of an optimizer step, counted from 0.

        Raises:
            InputError: the rate changes, and `schedule` did not say over how many steps.
        """
        if self.rates is None or not len(indices):
            return self.__getitems__(indices)
        if self._schedule is None:
            raise InputError(
                f"The mask rate {self.rates} changes over the steps: say how many (schedule)."
            )
        return self._masked(indices, self._schedule.rate(step))
