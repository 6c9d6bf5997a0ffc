"""The epoch of a collator, in memory that is shared with its copies in data loading workers."""

from __future__ import annotations

from multiprocessing import context
from typing import Any


class SharedEpoch:
    """An epoch and its seed, which workers see even if they were started before it was set.

    Processes started by `multiprocessing` share the memory, with any start method. Any other copy
    (`copy.deepcopy`, `pickle.dumps`) has its own memory with the same values.
    """

    def __init__(self, epoch: int | None = None, seed: int = 0) -> None:
        from multiprocessing.sharedctypes import RawArray

        self._words: Any = RawArray("Q", [0 if epoch is None else epoch + 1, seed])

    @property
    def epoch(self) -> int | None:
        """The epoch; None if none was set."""
        stored = int(self._words[0])
        return stored - 1 if stored else None

    @property
    def seed(self) -> int:
        """The seed that was set with the epoch."""
        return int(self._words[1])

    def set(self, epoch: int, seed: int) -> None:
        """Set the epoch, 0 to 2^63 - 1, and the seed, 0 to 2^64 - 1."""
        self._words[1] = seed
        self._words[0] = epoch + 1

    def __getstate__(self) -> dict[str, Any]:
        if context.get_spawning_popen() is not None:
            return {"words": self._words}
        return {"epoch": self.epoch, "seed": self.seed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "words" in state:
            self._words = state["words"]
        else:
            self.__init__(**state)  # type: ignore[misc]
