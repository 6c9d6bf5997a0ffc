"""The blocks of a training in phases as one torch data set: `PhasedBlocks`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from mlmfast.data.loading.mixture.mixture import Mixture
from mlmfast.data.loading.mixture.part import MixturePart
from mlmfast.data.store.joined import check_joinable
from mlmfast.data.store.named import names_of
from mlmfast.errors import InputError
from mlmfast.training.datasets import MaskedBlocks
from mlmfast.training.recipes.summary import describe_data, describe_masks, summary_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np

    from mlmfast.data.loading.buffer_pool import Batch
    from mlmfast.data.store.store import BlockStore
    from mlmfast.training.recipes.schedule import PhaseSchedule
    from mlmfast.training.recipes.summary import PhaseSummary


class PhasedBlocks(MaskedBlocks):
    """The blocks of a training in phases, each with its mixture, length of blocks and masks.

    An item is the number of a block in the whole training, which is one epoch. A store that several
    phases read goes on where the phase before ended, and phases with the same mixture read what one
    phase of their length reads.

    The attributes of a `MaskedBlocks` (`store`, `mixture` ...) are those of all stores with the
    longest blocks.

    Args:
        schedule: The phases.
        mixtures: The stores of each phase, with blocks of its length.
        masks: The mask options of each phase, as `MaskedBlocks` takes them; a `mask_rate_schedule`
            runs over the phase.
        seed: Seed of the masks, 0 to 2^64 - 1.
        data_seed: Seed of the order; None for `seed`.
        options: The other arguments of `MaskedBlocks`, for all phases.

    Attributes:
        phases: The schedule.
        parts: The blocks of each phase.
        sources: All stores, each once, in the order in which phases name them. A store whose blocks
            some phases cut comes once for each length.
        source_names: Their names.

    Raises:
        InputError: The stores have other tokenizers, or a mask option is wrong.
    """

    def __init__(
        self,
        schedule: PhaseSchedule,
        mixtures: Sequence[Mixture],
        *,
        masks: Sequence[Mapping[str, Any]],
        seed: int = 0,
        data_seed: int | None = None,
        **options: Any,
    ) -> None:
        self.phases = schedule
        self.sources, numbered = _numbered(mixtures)
        check_joinable(self.sources, lengths=False)
        self.source_names = _names(self.sources)
        longest = max(store.manifest.block_size for store in self.sources)
        named = {
            name: store
            for name, store in zip(self.source_names, self.sources, strict=True)
            if store.manifest.block_size == longest
        }
        common: dict[str, Any] = {"seed": seed, "data_seed": data_seed, **options}
        super().__init__(Mixture(named, [1.0] * len(named)), **common)
        self.parts = tuple(
            MaskedBlocks(part, **common, **given)
            for part, given in zip(
                _parts(schedule, mixtures, numbered, self.order_seed), masks, strict=True
            )
        )
        for part, phase in zip(self.parts, schedule.phases, strict=True):
            part.schedule(phase.steps)

    def __len__(self) -> int:
        return self.phases.blocks

    @property
    def blocks(self) -> int:
        """Number of the blocks of `store`."""
        return len(self.store)

    @property
    def fill_rate(self) -> float:
        """The share of the positions of all items, uncut, that are not padding."""
        filled = sum(
            phase.tokens * part.fill_rate
            for phase, part in zip(self.phases.phases, self.parts, strict=True)
        )
        return filled / sum(phase.tokens for phase in self.phases.phases)

    @property
    def block_lengths(self) -> set[int]:
        """The lengths of blocks that the phases read."""
        return {phase.block_size for phase in self.phases.phases}

    def schedule(self, steps: int) -> None:
        """Do nothing: the schedule says how long each phase is."""

    def rate_at(self, step: int) -> float:
        """Return the mean mask rate of an optimizer step, counted from 0."""
        phase, step = self.phases.at(step)
        return self.parts[phase].rate_at(step)

    def part_at(self, step: int) -> MaskedBlocks:
        """Return the blocks that an optimizer step reads, counted from 0."""
        return self.parts[self.phases.at(step)[0]]

    def summaries(self) -> tuple[PhaseSummary, ...]:
        """Return each phase in words."""
        found = []
        for phase, part in zip(self.phases.phases, self.parts, strict=True):
            mixture = part.mixture
            assert mixture is not None  # noqa: S101 - the blocks of a phase are always a mixture
            names = [self.source_names[number] for number in mixture.numbers]
            data = describe_data(names, mixture.probabilities)
            masks = describe_masks(part.mlm_probability, part.rates)
            found.append(summary_of(phase, data=data, masks=masks))
        return tuple(found)

    def block_ids(self, indices: np.ndarray, epoch: int) -> np.ndarray:
        """Return the blocks that items of one phase read, as its stores number them, uint64 `[B]`.

        Args:
            indices: Numbers of items, uint64 `[B]`.
            epoch: 0.
        """
        phase = self.phases.phase_of_block(int(indices[0])) if len(indices) else 0
        return self.parts[phase].block_ids(indices, epoch)

    def batch_at(self, step: int, indices: Sequence[int]) -> Batch:
        """Read and mask blocks of an optimizer step, counted from 0.

        Without any, return one block without labels.
        """
        phase, step = self.phases.at(step)
        part = self.parts[phase]
        if len(indices):
            return part.batch_at(step, indices)
        batch = part.batch_at(step, [self.phases.first_blocks[phase]])
        batch["labels"].fill_(-100)
        return batch

    def no_batch(self, step: int) -> Batch:
        """Return a batch without rows, which no process computes."""
        length = self.phases.phases[self.phases.at(step)[0]].block_size
        empty = torch.empty((0, length), dtype=torch.int64)
        return {"input_ids": empty, "labels": empty.clone()}

    def tokens_read(self, first: float, last: float) -> float:
        """Count the tokens without padding between two shares of the training, 0 to 1."""
        begin, end = (
            self.phases.blocks_read(round(share * self.phases.steps)) for share in (first, last)
        )
        return math.fsum(
            (after - before) * phase.block_size * part.fill_rate
            for phase, part, before, after in zip(
                self.phases.phases, self.parts, begin, end, strict=True
            )
        )


def _numbered(mixtures: Sequence[Mixture]) -> tuple[list[BlockStore], list[list[int]]]:
    """Return all stores, each once, and which of them those of each mixture are."""
    stores: list[BlockStore] = []
    places: dict[Any, int] = {}
    numbered = []
    for mixture in mixtures:
        numbers = []
        for store in mixture.stores:
            key = store.path.resolve(), store.block_size  # cut, a store is another one
            place = places.setdefault(key, len(stores))
            if place == len(stores):
                stores.append(store)
            numbers.append(place)
        numbered.append(numbers)
    return stores, numbered


def _names(stores: Sequence[BlockStore]) -> tuple[str, ...]:
    """Name stores by their folders, and by the length of their blocks where one comes twice."""
    paths = [store.path for store in stores]
    distinct = list(dict.fromkeys(paths))
    names = dict(zip(distinct, names_of(distinct), strict=True))
    return tuple(
        names[store.path] + (f" ({store.block_size})" if paths.count(store.path) > 1 else "")
        for store in stores
    )


def _parts(
    schedule: PhaseSchedule,
    mixtures: Sequence[Mixture],
    numbered: Sequence[Sequence[int]],
    seed: int,
) -> Iterator[MixturePart]:
    """Yield the mixture of each phase; each store goes on where it was left."""
    drawn: dict[int, int] = {}
    for begin, phase, mixture, numbers in zip(
        schedule.first_blocks, schedule.phases, mixtures, numbered, strict=False
    ):
        lengths = {store.manifest.block_size for store in mixture.stores}
        if lengths != {phase.block_size}:
            raise InputError(
                f"The phase {phase.name} reads blocks of {phase.block_size} tokens, and its stores "
                f"have blocks of {', '.join(map(str, lengths))}."
            )
        part = MixturePart(
            mixture,
            numbers=numbers,
            begin=begin,
            count=phase.blocks,
            drawn=[drawn.get(number, 0) for number in numbers],
        )
        yield part
        after = part.order(seed).draws_before(begin + phase.blocks)
        drawn |= dict(zip(numbers, after.tolist(), strict=True))
