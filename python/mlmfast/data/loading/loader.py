"""Shuffled, masked batches of a block store as torch tensors: `BlockLoader`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmfast.data.loading.block_masker import BlockMasker
from mlmfast.data.loading.sampler import BlockSampler
from mlmfast.data.masking.mask_tokens import output_dtype
from mlmfast.data.masking.schedule import MaskRateSchedule
from mlmfast.data.store.store import BlockStore
from mlmfast.errors import InputError, MissingDependencyError
from mlmfast.runtime.prefetch import Prefetcher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Unpack

    from mlmfast.data.loading.batches import Batch
    from mlmfast.data.masking.options import MaskOptions, StoreModeOptions

_STATE_VERSION = 1


class BlockLoader:
    """Iterate over a block store in masked batches, gathered and masked in one pass of the core.

    A pass gives one epoch's batches, dicts of torch tensors: `input_ids` and `labels` `[B, L]`,
    `attention_mask` `[B, L]` where the store has padding, `positions` int64 `[M]` where asked for.
    The order of the blocks is a keyed permutation that needs no memory, the masks are those of
    `mask_tokens` for the blocks' numbers: every batch is a pure function of (seed, epoch, number).

    A whole pass moves the loader on to the next epoch; `set_epoch` chooses one. A pass that is
    broken off leaves it in the epoch, whose batches the next pass gives again from the first,
    unless `load_state_dict` says otherwise. `state_dict()` names the batch after the last one that
    was given out: a loader that loads it goes on with exactly the batches that would have come,
    without replaying any.

    Ranks divide each epoch among themselves; nothing is padded, repeated or dropped. Global batches
    of `batch_size * world_size` blocks are dealt in equal shares; only the last may be smaller, and
    its shares differ by one block at most. Where it has fewer blocks than there are ranks, some
    ranks have one batch less: `drop_last=True` leaves such an end out, for training in step.

    Batches are the caller's own and stay as they are. With `reuse_buffers=True` a batch is valid
    until the next one is asked for, and its memory is then used again.

    Args:
        store: The blocks, or their folder.
        batch_size: Blocks of a batch.
        seed: Seed of the order and of the masks, 0 to 2^64 - 1.
        epoch: The first pass's epoch.
        rank: This process's number among `world_size`.
        world_size: Number of processes.
        shuffle: Give the blocks in an order that is new in each epoch.
        drop_last: Leave out the last global batch where it is not full.
        mlm_probability: Share of the tokens that are chosen, or a `MaskRateSchedule`, whose steps
            are the batches (of a rank) since the start of epoch 0.
        mask_replace_prob: Share of the chosen tokens that become the mask token.
        random_replace_prob: Share of the chosen tokens that become a random word; the rest stays.
        positions: Add the chosen positions, flat into `B * L`.
        labels_at_positions: Add them, and give `labels` there alone, `[M]`.
        dtype: int64 or int32, for all but `positions`.
        prefetch: Batches to make ahead in a thread; 0 for none. From 2 on, a loop that has to wait
            for a batch makes the one after it meanwhile.
        pin_memory: Put the batches into pinned memory, where there is CUDA.
        reuse_buffers: Use the memory of earlier batches again.
        threads: Threads that mask one batch; None for as many as it is worth.
        modes: `mode`, `masks_per_row`, `at_least_one` and so on, as `mask_tokens` explains them;
            `mode="whole_word"` finds the words by the store's own tokenizer, with
            `word_boundaries="characters"` in text without blanks, too.

    Raises:
        InputError: An option that cannot be.
        MissingDependencyError: torch is not installed.
    """

    def __init__(
        self,
        store: BlockStore | str | Path,
        batch_size: int,
        *,
        seed: int = 0,
        epoch: int = 0,
        rank: int = 0,
        world_size: int = 1,
        shuffle: bool = True,
        drop_last: bool = False,
        mlm_probability: float | MaskRateSchedule = 0.15,
        mask_replace_prob: float = 0.8,
        random_replace_prob: float = 0.1,
        positions: bool = False,
        labels_at_positions: bool = False,
        dtype: Any = "int64",
        prefetch: int = 2,
        pin_memory: bool = False,
        reuse_buffers: bool = False,
        threads: int | None = None,
        **modes: Unpack[StoreModeOptions],
    ) -> None:
        try:
            import torch

            from mlmfast.data.loading.batches import BatchMaker
            from mlmfast.data.loading.buffer_pool import BufferPool
        except ImportError as error:
            raise MissingDependencyError(
                "BlockLoader needs the package torch: pip install 'mlmfast[train]'."
            ) from error
        if prefetch < 0:
            raise InputError(f"prefetch must be 0 or more, got {prefetch}")
        self.store = BlockStore.open(store) if isinstance(store, str | Path) else store
        schedule = mlm_probability if isinstance(mlm_probability, MaskRateSchedule) else None
        options: MaskOptions = {
            **modes,
            "mask_replace_prob": mask_replace_prob,
            "random_replace_prob": random_replace_prob,
        }
        if not isinstance(mlm_probability, MaskRateSchedule):
            options["mlm_probability"] = mlm_probability
        masker = BlockMasker(self.store, seed=seed, options=options)
        left_out = {"labels"} if labels_at_positions else set()
        self._plan = BlockSampler(
            len(self.store), batch_size, rank, world_size, shuffle, drop_last, seed
        )
        columns = tuple(name for name in masker.columns if name not in left_out)
        self._maker = BatchMaker(
            masker=masker,
            plan=self._plan,
            schedule=schedule,
            columns=columns,
            positions=positions or labels_at_positions,
            dtype=getattr(torch, output_dtype(dtype).name),
            pin_memory=pin_memory and torch.cuda.is_available(),
            slots=prefetch + 1 if reuse_buffers else 0,
            threads=threads,
            # Those made ahead, the user's, and the one that it takes the place of.
            pool=BufferPool(keep=(prefetch + 2) * len(columns)),
        )
        self._prefetch = prefetch
        self._batch = 0  # the next one that the pass under way will give out
        self._first = 0  # of the next pass
        self._epoch = 0
        self.set_epoch(epoch)

    @property
    def epoch(self) -> int:
        """The epoch of the pass under way, or of the next."""
        return self._epoch

    @property
    def batch_size(self) -> int:
        """Blocks of a batch."""
        return self._plan.batch_size

    def __len__(self) -> int:
        """Batches of a whole epoch for this rank."""
        return len(self._plan)

    def set_epoch(self, epoch: int) -> None:
        """Choose the next pass's epoch. The place of a loaded state in this very epoch is kept."""
        if not 0 <= epoch < 1 << 64:
            raise InputError(f"epoch must be between 0 and 2^64 - 1, got {epoch}")
        if epoch != self._epoch:
            self._epoch, self._first, self._batch = epoch, 0, 0

    def state_dict(self) -> dict[str, Any]:
        """The place in the epoch, and what the batches are made of; JSON can hold it."""
        return {
            "version": _STATE_VERSION,
            "epoch": self._epoch,
            "batch": self._batch,
            "made_of": self._made_of(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next pass go on where `state` was taken; this takes no time.

        Raises:
            InputError: The state's batches were made of other data or options.
        """
        if state.get("version") != _STATE_VERSION:
            raise InputError(
                f"the loader's state has version {state.get('version')!r}; this mlmfast reads "
                f"version {_STATE_VERSION}"
            )
        there, here = state["made_of"], self._made_of()
        for name in sorted(there.keys() | here.keys()):
            if there.get(name) != here.get(name):
                raise InputError(
                    f"the state belongs to other batches: {name} was {there.get(name)!r} there, "
                    f"and is {here.get(name)!r} here"
                )
        self._epoch = state["epoch"]
        self._first = self._batch = state["batch"]

    def __iter__(self) -> Iterator[Batch]:
        """Begin a pass; breaking off ends its thread."""
        epoch, first = self._epoch, self._first
        self._first, self._batch = 0, first
        numbers = range(first, len(self))
        make = self._maker.of_epoch(epoch)
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

    def _made_of(self) -> dict[str, Any]:
        plan, schedule = self._plan, self._maker.schedule
        return self._maker.masker.identity() | {
            "batch_size": plan.batch_size,
            "world_size": plan.world_size,
            "shuffle": plan.shuffle,
            "drop_last": plan.drop_last,
            "schedule": schedule and [schedule.start, schedule.end, schedule.steps, schedule.shape],
        }
