"""The keys of a collator's masks: the seed, the epoch and the block ids of each call."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlmfast.data.masking.frameworks import Framework, global_seed, random_seed, seeded_generator
from mlmfast.data.masking.shared_epoch import SharedEpoch
from mlmfast.data.masking.worker_copies import WorkerCopies
from mlmfast.errors import InputError

# Epochs from here on key the calls of collators without `set_epoch`; real epochs are smaller.
_NO_EPOCH = 1 << 63


class MaskKeys:
    """The keys of a collator's masks, which change from call to call.

    Without an epoch, a call's number is part of its key. The copies of a collator in data loading
    workers count their own calls, and each copy has its own stream.
    """

    def __init__(self) -> None:
        self._epoch = SharedEpoch()
        self._copies = WorkerCopies()
        self._calls = 0
        # The generator and its stream; the stream is None for a generator that was set.
        self._generator: tuple[int | None, Any] | None = None

    def set_epoch(self, epoch: int, seed: int | None) -> None:
        """Key all calls by `epoch`; without a seed, also by the framework's current seed."""
        if not 0 <= epoch < _NO_EPOCH:
            raise InputError(f"epoch must be between 0 and 2^63 - 1, got {epoch}")
        first = self._epoch.epoch is None and seed is None
        self._epoch.set(epoch, global_seed() if first else self._epoch.seed)

    def next_key(
        self, seed: int | None, framework: Framework, rows: int
    ) -> tuple[int, int, np.ndarray | None]:
        """Return the seed, the epoch and the block ids that key the masks of one call.

        Block ids are uint64 `[rows]`, or None where each row's content is its key.
        """
        if (epoch := self._epoch.epoch) is not None:
            return (self._epoch.seed if seed is None else seed), epoch, None
        row_numbers = np.arange(rows, dtype=np.uint64)
        if seed is None:
            return random_seed(framework), _NO_EPOCH, row_numbers
        calls, self._calls = self._calls, self._calls + 1
        return seed, _NO_EPOCH + self._copies.stream(), row_numbers + np.uint64(calls << 32)

    def new_generator(self, framework: Framework, seed: int) -> Any:
        """Return a generator of the framework for `seed`; each data loading worker has its own."""
        return seeded_generator(framework, seed, self._copies.stream())

    def generator(self, framework: Framework, seed: int | None) -> Any:
        """Return the generator that was set, else one for the seed, made once in each process."""
        stream = self._copies.stream()
        if self._generator is None or self._generator[0] not in (stream, None):
            made = None if seed is None else self.new_generator(framework, seed)
            self._generator = stream, made
        return self._generator[1]

    def set_generator(self, generator: Any) -> None:
        """Set the generator."""
        self._generator = None, generator
