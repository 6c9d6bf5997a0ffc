"""The memory of batches as torch tensors: `TensorAllocator`, and `BufferPool`, which reuses it."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    import numpy as np

Batch = dict[str, torch.Tensor]

# The system's allocator itself keeps the memory of smaller tensors.
_MIN_BYTES = 1 << 17


class BufferPool:
    """Allocates tensors, and reuses their memory once nothing refers to it any more.

    The system's allocator may return memory of a batch's size to the system each time it is freed,
    above all where one thread frees what another has allocated. The next batch then waits for new
    pages, which takes several times as long as filling them. Memory in use is never handed out
    again: a tensor belongs to its user.

    Threads may share a pool. A pickled copy of it starts empty.

    Args:
        keep: The most tensors whose memory is kept while nobody uses it.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._free: list[torch.Tensor] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return BufferPool, (self._keep,)

    def take(self, rows: int, length: int, dtype: torch.dtype) -> torch.Tensor:
        """Return a tensor `[rows, length]` whose values are not set."""
        if rows * length * dtype.itemsize < _MIN_BYTES:
            return torch.empty((rows, length), dtype=dtype)
        buffer = self._pop(rows, length, dtype)
        if buffer is None:
            buffer = torch.empty((rows, length), dtype=dtype)
        # `torch.from_numpy` keeps the array alive for as long as any tensor (or view of one) uses
        # its memory. Views that numpy makes of the array would not: it never leaves this function.
        array = buffer.numpy()[:rows]
        weakref.finalize(array, _release, self._free, self._keep, buffer).atexit = False
        return torch.from_numpy(array)

    def _pop(self, rows: int, length: int, dtype: torch.dtype) -> torch.Tensor | None:
        try:
            buffer = self._free.pop()  # the last one released, whose memory is the most cached
        except IndexError:
            return None
        if buffer.dtype == dtype and buffer.shape[1] == length:
            if rows <= len(buffer) <= 2 * rows:
                return buffer
            if len(buffer) > rows:  # too large for the short batch at the end of an epoch
                self._free.append(buffer)
        return None


def _release(free: list[torch.Tensor], keep: int, buffer: torch.Tensor) -> None:
    if len(free) < keep:
        free.append(buffer)


@dataclass(frozen=True)
class TensorAllocator:
    """Batches of torch tensors.

    Attributes:
        pool: Where the memory of tensors comes from that are not pinned.
        dtype: int64 or int32, of the tensors that `empty` returns unless it is told otherwise.
        pin_memory: Whether tensors are pinned, for copies to a GPU that nothing waits for.
    """

    pool: BufferPool
    dtype: torch.dtype = torch.int64
    pin_memory: bool = False

    def empty(self, rows: int, length: int, *, int32: bool = False) -> torch.Tensor:
        """Return a tensor `[rows, length]` whose values are not set; `int32` chooses that type."""
        dtype = torch.int32 if int32 else self.dtype
        if self.pin_memory:  # torch itself reuses pinned memory
            return torch.empty((rows, length), dtype=dtype, pin_memory=True)
        return self.pool.take(rows, length, dtype)

    def as_numpy(self, array: torch.Tensor) -> np.ndarray:
        """Return a numpy view of a tensor."""
        return array.numpy()

    def from_numpy(self, array: np.ndarray) -> torch.Tensor:
        """Return a numpy array as a tensor that shares its memory, or as a pinned copy."""
        tensor = torch.from_numpy(array)
        return tensor.pin_memory() if self.pin_memory else tensor
