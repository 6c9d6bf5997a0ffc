"""The keys of a collator's masks: which seed, epoch and row numbers a call draws from."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlmfast.data.masking.frameworks import Framework, global_seed, random_word, seeded_generator
from mlmfast.data.masking.shared_epoch import SharedEpoch
from mlmfast.data.masking.worker_copies import WorkerCopies
from mlmfast.errors import InputError

# The epoch word of calls without a known epoch; real epochs are below it.
_FRESH = 1 << 63


class MaskKeys:
    """What a collator draws its masks from, besides its seed.

    A collator without an epoch counts its calls; the copies in data loading workers count theirs,
    and each draws from a stream of its own.
    """

    def __init__(self) -> None:
        self._epoch = SharedEpoch()
        self._copies = WorkerCopies()
        self._calls = 0
        # The stream that it is of (None for one that was given), and the generator.
        self._generator: tuple[int | None, Any] | None = None

    def set_epoch(self, epoch: int, seed: int | None) -> None:
        """Key all calls by `epoch`; without a seed, by that of the framework now."""
        if not 0 <= epoch < _FRESH:
            raise InputError(f"epoch must be between 0 and 2^63 - 1, got {epoch}")
        first = self._epoch.epoch is None and seed is None
        self._epoch.set(epoch, global_seed() if first else self._epoch.seed)

    def next_key(
        self, seed: int | None, framework: Framework, rows: int
    ) -> tuple[int, int, np.ndarray | None]:
        """Seed, epoch and block ids that key the masks of one call.

        Block ids are uint64 `[rows]`; None: the rows' content keys them.
        """
        if (epoch := self._epoch.epoch) is not None:
            return (self._epoch.seed if seed is None else seed), epoch, None
        row_numbers = np.arange(rows, dtype=np.uint64)
        if seed is None:
            return random_word(framework), _FRESH, row_numbers
        calls, self._calls = self._calls, self._calls + 1
        return seed, _FRESH + self._copies.stream(), row_numbers + np.uint64(calls << 32)

    def new_generator(self, framework: Framework, seed: int) -> Any:
        """The framework's generator of `seed`; in a data loading worker one of its own."""
        return seeded_generator(framework, seed, self._copies.stream())

    def generator(self, framework: Framework, seed: int | None) -> Any:
        """The generator that was given, else that of the seed, made once a process; or None."""
        stream = self._copies.stream()
        if self._generator is None or self._generator[0] not in (stream, None):
            drawn = None if seed is None else self.new_generator(framework, seed)
            self._generator = stream, drawn
        return self._generator[1]

    def give_generator(self, generator: Any) -> None:
        """Take a generator that somebody else has made."""
        self._generator = None, generator
