"""Memory of tensors that are gone, used again: `BufferPool`."""

from __future__ import annotations

import weakref
from typing import Any

import torch

# Smaller ones are kept by the system's allocator itself.
_LEAST_BYTES = 1 << 17


class BufferPool:
    """Makes tensors, and takes their memory back when nothing refers to it any more.

    The system's allocator may give memory of a batch's size back to the system each time that it is
    freed, above all where one thread frees what another has allocated. The next batch then waits
    for new pages, which takes several times as long as to fill them. Memory in use is never handed
    out again: a tensor is its user's own.

    A pool may be shared by threads. It does not go along when it is pickled: a copy begins empty.

    Args:
        keep: Number of tensors whose memory is kept at most while nobody uses it.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._free: list[torch.Tensor] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return BufferPool, (self._keep,)

    def take(self, rows: int, length: int, dtype: torch.dtype) -> torch.Tensor:
        """A tensor `[rows, length]` whose values are not set."""
        if rows * length * dtype.itemsize < _LEAST_BYTES:
            return torch.empty((rows, length), dtype=dtype)
        whole = self._pop(rows, length, dtype)
        if whole is None:
            whole = torch.empty((rows, length), dtype=dtype)
        # torch holds on to the array that it makes a tensor of for as long as there is a tensor, or
        # a view of one, over this memory. numpy's views of the array would not; it stays in here.
        lent = whole.numpy()[:rows]
        weakref.finalize(lent, _take_back, self._free, self._keep, whole).atexit = False
        return torch.from_numpy(lent)

    def _pop(self, rows: int, length: int, dtype: torch.dtype) -> torch.Tensor | None:
        try:
            whole = self._free.pop()  # the last one that came back, which is the warmest
        except IndexError:
            return None
        if whole.dtype == dtype and whole.shape[1] == length:
            if rows <= len(whole) <= 2 * rows:
                return whole
            if len(whole) > rows:  # too good for the short batch at the end of an epoch
                self._free.append(whole)
        return None


def _take_back(free: list[torch.Tensor], keep: int, whole: torch.Tensor) -> None:
    if len(free) < keep:
        free.append(whole)
