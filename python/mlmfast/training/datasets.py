"""Block stores as torch data sets of masked blocks: `MaskedBlocks` and `EvaluationBlocks`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mlmfast.data.loading.document_packing import DocumentPacking
from mlmfast.data.loading.mixture.masker import MixtureMasker
from mlmfast.data.loading.mixture.mixture import Mixture
from mlmfast.data.loading.mixture.order import InOrder
from mlmfast.data.loading.packed_batches import PackedBatchMaker
from mlmfast.data.masking.mask_rates import RowRates, parse_mask_rate
from mlmfast.data.masking.schedule import MaskRateSchedule
from mlmfast.data.store.joined import JoinedStore
from mlmfast.data.store.store import BlockStore
from mlmfast.errors import InputError
from mlmfast.training.block_dataset import BlockDataset

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlmfast.data.loading.block_masker import BlockMasker
    from mlmfast.data.loading.buffer_pool import Batch
    from mlmfast.data.masking.options import MaskOptions
    from mlmfast.training.teacher_answers.reader import AnswerReader
    from mlmfast.training.text_source import TextSource


class EvaluationBlocks(BlockDataset):
    """Blocks under masks that never change, so that evaluations can be compared.

    There is no `set_epoch`: accelerate would call it at every pass.

    Args:
        store: The blocks, `[N, L]`; or several stores of one tokenizer and block size by name, to
            evaluate on all of them and on each. A block has the masks that it has alone.
        mlm_probability: Share of the ordinary tokens that are chosen, the same for all blocks.
        texts: The folders of stores that were made of text, and that text.
        options: The other arguments of `BlockDataset`; `limit` is that of each store.

    Attributes:
        parts: The blocks of each store by name; empty for a single store.

    Raises:
        InputError: The mask rate is one that is drawn for each block, or the stores differ.
    """

    def __init__(
        self,
        store: BlockStore | Mapping[str, BlockStore],
        *,
        mlm_probability: float = 0.15,
        texts: Mapping[str, TextSource] | None = None,
        **options: Any,
    ) -> None:
        self.texts = texts or {}
        if isinstance(parse_mask_rate(mlm_probability), RowRates):
            raise InputError(
                "An evaluation has one mask rate for all blocks: give mlm_probability as a number, "
                f"not {mlm_probability!r}."
            )
        self.parts: dict[str, EvaluationBlocks] = {}
        if isinstance(store, BlockStore):
            super().__init__(store, mlm_probability=mlm_probability, **options)
            return
        for name, one in store.items():
            self.parts[name] = EvaluationBlocks(one, mlm_probability=mlm_probability, **options)
        self._order = InOrder(tuple(map(len, self.parts.values())))
        joined = JoinedStore(list(store.values()))
        super().__init__(joined, mlm_probability=mlm_probability, **options)
        self._count = len(self._order)

    def _make_masker(self, options: MaskOptions) -> BlockMasker | MixtureMasker:
        if not isinstance(self.store, JoinedStore):
            return super()._make_masker(options)
        seeds = [self.seed] * len(self.parts)
        return MixtureMasker(self.store, self._order, seeds=seeds, options=options)

    def part_of(self, items: Sequence[int]) -> np.ndarray:
        """Return which of the parts each item belongs to, int64 `[B]`."""
        return self._order.sources_of(np.asarray(items, np.uint64))

    @property
    def fill_rate(self) -> float:
        """The share of the positions of all items, uncut, that are not padding."""
        if not self.parts:
            return super().fill_rate
        return sum(each.fill_rate * len(each) for each in self.parts.values()) / len(self)

    @property
    def epoch(self) -> int:
        """The epoch whose masks every batch has, 0."""
        return 0


class MaskedBlocks(BlockDataset):
    """Blocks under masks that are new in every epoch, for training.

    With `pack_documents` an item is not a block, but a row of as many documents as fit into the
    length of a block: `len` counts rows, and batches always have `attention_mask` and
    `document_ids`. A document has the masks that it has alone.

    Args:
        store: The blocks, `[N, L]`; or a `mlmfast.Mixture` of stores, of which an item is a place
            in its order.
        mask_rate_schedule: A mask rate that changes from the first optimizer step to the last, in
            place of `mlm_probability`, as in `mlmfast.MaskRateSchedule`; `schedule` says over how
            many steps.
        pack_documents: Put the documents of a store with one per block side by side into rows,
            other ones in every epoch; see `DocumentPacking`.
        data_seed: Seed of which documents share a row, and of a mixture's order; None for `seed`.
        options: The other arguments of `BlockDataset`.

    Attributes:
        mixture: The mixture; None for the blocks of one store.
        answers: A teacher's stored answers, which are added to batches; None for none.

    Raises:
        InputError: As of `BlockDataset`; or there is nothing to pack, since the blocks hold more
            than one document each; or a mixture has a limit, or is to be packed.
    """

    def __init__(
        self,
        store: BlockStore | Mixture,
        *,
        mask_rate_schedule: str | None = None,
        pack_documents: bool = False,
        data_seed: int | None = None,
        **options: Any,
    ) -> None:
        if mask_rate_schedule is not None:
            rates = MaskRateSchedule(mask_rate_schedule, 1)
            options["mlm_probability"] = rates.start
        self.order_seed = options.get("seed", 0) if data_seed is None else data_seed
        self.mixture = store if isinstance(store, Mixture) else None
        if self.mixture is not None:
            self.mixture.check_order(pack_documents=pack_documents, limit=options.get("limit"))
        super().__init__(store.joined if isinstance(store, Mixture) else store, **options)
        if pack_documents:
            self.packing = DocumentPacking(self.store, self._count, self.order_seed)
            self._maker = PackedBatchMaker.over(self._block_maker, self.packing)
            self._count, self._trims = self.packing.rows, False
            self.documents = True
        self.answers: AnswerReader | None = None
        self.rates = mask_rate_schedule
        self._schedule: MaskRateSchedule | None = None
        # Workers that outlive an epoch (persistent_workers) hold a copy of this object, and learn
        # of a new epoch through shared memory alone.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def _make_masker(self, options: MaskOptions) -> BlockMasker | MixtureMasker:
        if self.mixture is None:
            return super()._make_masker(options)
        return self.mixture.masker(seed=self.seed, order_seed=self.order_seed, options=options)

    def check_order_seed(self, data_seed: int | None) -> None:
        """Raise InputError if a trainer's `data_seed` is not the one of the mixture's order."""
        expected = self.seed if data_seed is None else data_seed
        if self.mixture is not None and expected != self.order_seed:
            raise InputError(
                f"data_seed is {data_seed}, but the order of the mixture has the seed "
                f"{self.order_seed}: give MaskedBlocks(mixture, data_seed={data_seed})."
            )

    def fingerprint(self) -> dict[str, Any]:
        """Return what the items depend on, in values that JSON can hold."""
        found = super().fingerprint()
        if self.mixture is not None or self.packing is not None:
            found["data_seed"] = self.order_seed
        if self.packing is not None:
            found["pack_documents"] = True
        return found if self.rates is None else found | {"mask_rate_schedule": self.rates}

    def _masked_batch(self, indices: Sequence[int], rate: float | None = None) -> Batch:
        batch = super()._masked_batch(indices, rate)
        if self.answers is None:
            return batch
        return batch | self.answers.columns(self.epoch, indices, batch["labels"])

    @property
    def fill_rate(self) -> float:
        """The share of the positions of all items, uncut, that are not padding."""
        return super().fill_rate if self.mixture is None else self.mixture.fill_rate

    @property
    def block_lengths(self) -> set[int]:
        """The lengths of the blocks."""
        return {self.store.block_size}

    def tokens_read(self, first: float, last: float) -> float:
        """Count the tokens without padding between two epochs, which may be fractions."""
        return (last - first) * len(self) * self.store.block_size * self.fill_rate

    def part_at(self, _step: int) -> MaskedBlocks:
        """Return the blocks that an optimizer step reads."""
        return self

    @property
    def epoch(self) -> int:
        """The epoch whose masks the next batch has."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose masks the next batch has."""
        self._epoch.fill_(epoch)

    def schedule(self, steps: int) -> None:
        """Let the mask rate reach its end after so many optimizer steps."""
        if self.rates is not None:
            self._schedule = MaskRateSchedule(self.rates, steps)

    def rate_at(self, step: int) -> float:
        """Return the mean mask rate of an optimizer step, counted from 0."""
        return self.mean_mask_rate if self._schedule is None else self._schedule.rate(step)

    def batch_at(self, step: int, indices: Sequence[int]) -> Batch:
        """Read and mask blocks at the mask rate of an optimizer step, counted from 0.

        Raises:
            InputError: The mask rate changes, and `schedule` was not called.
        """
        if self.rates is None or not len(indices):
            return self.__getitems__(indices)
        if self._schedule is None:
            raise InputError(
                f"The mask rate {self.rates} changes over the steps: say how many (schedule)."
            )
        return self._masked_batch(indices, self._schedule.rate(step))
