"""Shuffled, masked batches of a block store as torch tensors: `BlockLoader`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.data.loading.batches import BatchMaker
from mlmfast.data.loading.block_masker import BlockMasker
from mlmfast.data.loading.document_packing import DocumentPacking
from mlmfast.data.loading.lookahead import Lookahead
from mlmfast.data.loading.mixture.mixture import Mixture
from mlmfast.data.loading.packed_batches import COLUMNS, PackedBatchMaker
from mlmfast.data.loading.sampler import BlockSampler
from mlmfast.data.masking.mask_tokens import output_dtype
from mlmfast.data.masking.schedule import MaskRateSchedule
from mlmfast.data.store.store import BlockStore
from mlmfast.errors import InputError, MissingDependencyError
from mlmfast.runtime.prefetch import Prefetcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Unpack

    import torch

    from mlmfast.data.loading.buffer_pool import Batch
    from mlmfast.data.loading.mixture.masker import MixtureMasker
    from mlmfast.data.masking.options import MaskOptions, StoreModeOptions

_STATE_VERSION = 1


class BlockLoader:
    """Iterate over a block store in masked batches, gathered and masked in one pass of the core.

    A pass yields one epoch's batches, dicts of torch tensors: `input_ids` and `labels` `[B, L]`,
    `attention_mask` `[B, L]` where the store has padding, and if requested `positions` int64 `[M]`
    and `document_ids` int32 `[B, L]`.
    The order of the blocks is a keyed permutation that needs no memory, and the masks are those of
    `mask_tokens` for the blocks' ids: every batch is a pure function of (seed, epoch, number).

    A whole pass moves the loader on to the next epoch; `set_epoch` chooses one. After a loop that
    breaks out of a pass, the next pass yields the same epoch from its first batch, unless
    `load_state_dict` chooses another place. `state_dict()` names the batch after the last one
    yielded: a loader that loads it continues with exactly that batch, without replaying any.

    Ranks divide each epoch among themselves; nothing is padded, repeated or dropped. Each global
    batch of `batch_size * world_size` blocks is divided equally; only the last may be smaller, and
    its shares differ by one block at most. Where it has fewer blocks than there are ranks, some
    ranks have one batch less: `drop_last=True` drops it, so that all ranks have as many batches.

    Batches belong to the caller and do not change. With `reuse_buffers=True` a batch is valid until
    the next one is requested, which may overwrite its memory.

    Args:
        store: The blocks, or their folder or URL; or a `Mixture` of stores, whose blocks come in
            its own order. The rows of a batch are then grouped by their stores.
        batch_size: Blocks in a batch.
        seed: Seed of the order and of the masks, 0 to 2^64 - 1.
        epoch: The epoch of the first pass.
        rank: The rank of this process, from 0 to `world_size - 1`.
        world_size: Number of processes.
        shuffle: Shuffle the blocks, into a new order in each epoch.
        drop_last: Drop the last global batch if it is not full.
        mlm_probability: Share of the tokens that are chosen; `"uniform:LOW,HIGH"` or `"beta:A,B"`
            for a share that is drawn for each block in each epoch; or a `MaskRateSchedule` that
            each batch (of a rank) moves on by one, from the start of epoch 0.
        mask_replace_prob: Share of the chosen tokens that become the mask token.
        random_replace_prob: Share of the chosen tokens that become a random word; the rest stays.
        positions: Add the chosen positions, flat into `B * L`.
        labels_at_positions: Add `positions`, and return `labels` at these positions only, `[M]`.
        documents: Add `document_ids`: 0, 1, 2 ... by the documents of each block, -1 on the padding
            at its end; `mlmfast.block_diagonal_mask` makes an attention mask of them.
        pack_documents: Fill the rows of batches with the documents of a store with one per block,
            other ones in every epoch. `batch_size` then counts rows of a block's length, of which
            an epoch has the same number each time; the batches have `attention_mask` and
            `document_ids`; and a document has the masks that it has alone.
        dtype: int64 or int32, for all but `positions` and `document_ids`.
        prefetch: Batches to make ahead in a thread; 0 for none. From 2 on, a loop that has to wait
            for a batch makes the one after it meanwhile.
        pin_memory: Put the batches into pinned memory, where there is CUDA.
        reuse_buffers: Reuse the memory of earlier batches.
        threads: Threads that mask one batch; None for as many as are worth it.
        modes: `mode`, `masks_per_row`, `at_least_one` and so on, as `mask_tokens` explains them;
            `mode="whole_word"` finds the words by the store's own tokenizer,
            `word_boundaries="characters"` also in text without blanks.

    Raises:
        InputError: An option is unknown, out of its range, or does not fit another, or the store
            does not know where its `documents` begin, or has no documents to pack; or a mixture is
            to be read in another order than its own.
        MissingDependencyError: torch is not installed.
    """

    def __init__(
        self,
        store: BlockStore | Mixture | str | Path,
        batch_size: int,
        *,
        seed: int = 0,
        epoch: int = 0,
        rank: int = 0,
        world_size: int = 1,
        shuffle: bool = True,
        drop_last: bool = False,
        mlm_probability: float | str | MaskRateSchedule = 0.15,
        mask_replace_prob: float = 0.8,
        random_replace_prob: float = 0.1,
        positions: bool = False,
        labels_at_positions: bool = False,
        documents: bool = False,
        pack_documents: bool = False,
        dtype: Any = "int64",
        prefetch: int = 2,
        pin_memory: bool = False,
        reuse_buffers: bool = False,
        threads: int | None = None,
        **modes: Unpack[StoreModeOptions],
    ) -> None:
        try:
            import torch

            from mlmfast.data.loading.buffer_pool import BufferPool, TensorAllocator
        except ImportError as error:
            raise MissingDependencyError(
                "BlockLoader needs the package torch: pip install 'mlmfast[train]'."
            ) from error
        if prefetch < 0:
            raise InputError(f"prefetch must be 0 or more, got {prefetch}")
        mixture = store if isinstance(store, Mixture) else None
        opened = BlockStore.open(store) if isinstance(store, str | Path) else store
        self.store: BlockStore = opened.joined if isinstance(opened, Mixture) else opened
        schedule = mlm_probability if isinstance(mlm_probability, MaskRateSchedule) else None
        options: MaskOptions = {
            **modes,
            "mask_replace_prob": mask_replace_prob,
            "random_replace_prob": random_replace_prob,
        }
        if not isinstance(mlm_probability, MaskRateSchedule):
            options["mlm_probability"] = mlm_probability
        if mixture is None:
            masker: BlockMasker | MixtureMasker = BlockMasker(
                self.store, seed=seed, options=options
            )
        else:
            mixture.check_order(shuffle=shuffle, pack_documents=pack_documents)
            masker = mixture.masker(seed=seed, order_seed=seed, options=options)
            shuffle = False  # the mixture itself says which block comes when
        packing = DocumentPacking(self.store, None, seed) if pack_documents else None
        items = len(self.store) if packing is None else packing.rows
        self._sampler = BlockSampler(items, batch_size, rank, world_size, shuffle, drop_last, seed)
        names = masker.columns_with_documents if documents else masker.columns
        columns = tuple(name for name in names if not (labels_at_positions and name == "labels"))
        self._maker: BatchMaker[torch.Tensor] | PackedBatchMaker[torch.Tensor]
        maker = BatchMaker(
            masker,
            TensorAllocator(
                # The batches made ahead, the caller's, and the one that replaces it.
                BufferPool(keep=(prefetch + 2) * (len(COLUMNS) if packing else len(columns))),
                dtype=getattr(torch, output_dtype(dtype).name),
                pin_memory=pin_memory and torch.cuda.is_available(),
            ),
            columns,
            positions=positions or labels_at_positions,
            threads=threads,
        )
        self._maker = maker if packing is None else PackedBatchMaker.over(maker, packing)
        self._schedule = schedule
        self._prefetch = prefetch
        self._reuse_buffers = reuse_buffers
        self._batch = 0  # the next batch of the current pass
        self._first = 0  # the first batch of the next pass
        self._epoch = 0
        self.set_epoch(epoch)

    @property
    def epoch(self) -> int:
        """The epoch of the current pass, or of the next one."""
        return self._epoch

    @property
    def batch_size(self) -> int:
        """Blocks in a batch."""
        return self._sampler.batch_size

    def __len__(self) -> int:
        """Number of this rank's batches in an epoch."""
        return len(self._sampler)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass; a state that was loaded in this epoch stays valid."""
        if not 0 <= epoch < 1 << 64:
            raise InputError(f"epoch must be between 0 and 2^64 - 1, got {epoch}")
        if epoch != self._epoch:
            self._epoch, self._first, self._batch = epoch, 0, 0

    def state_dict(self) -> dict[str, Any]:
        """Return the epoch, the next batch and what the batches depend on; JSON can hold it."""
        return {
            "version": _STATE_VERSION,
            "epoch": self._epoch,
            "batch": self._batch,
            "made_of": self._fingerprint(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next pass continue where `state` was taken; this takes no time.

        Raises:
            InputError: The state's batches were made of other data or options.
        """
        if state.get("version") != _STATE_VERSION:
            raise InputError(
                f"the loader's state has version {state.get('version')!r}; this mlmfast reads "
                f"version {_STATE_VERSION}"
            )
        saved, own = state["made_of"], self._fingerprint()
        for name in sorted(saved.keys() | own.keys()):
            if saved.get(name) != own.get(name):
                raise InputError(
                    f"the state belongs to other batches: {name} was {saved.get(name)!r} there, "
                    f"and is {own.get(name)!r} here"
                )
        self._epoch = state["epoch"]
        self._first = self._batch = state["batch"]

    def __iter__(self) -> Iterator[Batch]:
        """Start a pass; a loop that breaks out of it ends its thread."""
        epoch, first = self._epoch, self._first
        self._first, self._batch = 0, first
        numbers = range(first, len(self))
        make = self._batches_of(epoch)
        if not self._prefetch:
            for number in numbers:
                self._batch = number + 1
                yield make(number)
        else:
            batches = Prefetcher(make, numbers, self._prefetch)
            try:
                for number, batch in zip(numbers, batches, strict=False):
                    self._batch = number + 1
                    yield batch
            finally:
                batches.close()
        # Unless set_epoch or load_state_dict were called at the last batch.
        if (self._epoch, self._batch) == (epoch, len(self)):
            self.set_epoch(epoch + 1)

    def _batches_of(self, epoch: int) -> Callable[[int], Batch]:
        """Return what makes the batches of one pass, each from its number in the epoch."""
        sampler, maker, schedule = self._sampler, self._maker, self._schedule
        batches_before = epoch * sampler.global_batches
        # The batches made ahead, and the caller's.
        buffers = self._prefetch + 1 if self._reuse_buffers else 0
        ring = [maker.empty(sampler.batch_size) for _ in range(buffers)]

        ahead = Lookahead(lambda number: sampler.block_ids(number, epoch), len(self))

        def make(number: int) -> Batch:
            if maker.masker.reads_ahead:
                ahead.reach(number, lambda block_ids: maker.prefetch(block_ids, epoch))
            block_ids = sampler.block_ids(number, epoch)
            rate = None if schedule is None else schedule.rate(batches_before + number)
            if not ring:
                return maker.make(block_ids, epoch, rate)
            buffer = ring[number % len(ring)]
            out = {name: tensor[: len(block_ids)] for name, tensor in buffer.items()}
            return maker.make(block_ids, epoch, rate, out=out)

        return make

    def _fingerprint(self) -> dict[str, Any]:
        """Return what every batch depends on, in values that JSON can hold."""
        sampler, schedule = self._sampler, self._schedule
        return self._maker.masker.fingerprint() | {
            "batch_size": sampler.batch_size,
            "world_size": sampler.world_size,
            "shuffle": sampler.shuffle,
            "drop_last": sampler.drop_last,
            **({"pack_documents": True} if isinstance(self._maker, PackedBatchMaker) else {}),
            "schedule": schedule and [schedule.start, schedule.end, schedule.steps, schedule.shape],
        }
