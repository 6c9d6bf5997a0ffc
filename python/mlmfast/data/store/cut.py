"""The blocks of a store cut into shorter ones, without a copy: `CutStore`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.data.store.shards import LocalShards
from mlmfast.data.store.store import BlockStore
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence


class CutStore(BlockStore):
    """Each block of a store as several blocks of `length` tokens, one after the other.

    They are the blocks that `prepare` makes of the same text with that block size, up to the tokens
    at the end that it drops: blocks of running text continue each other. Documents begin where they
    begin in the store. A block that is padding alone, at the end of the store, is left out.

    Args:
        whole: The store.
        length: Tokens of a block, which divide those of the store's.

    Attributes:
        whole: The store.

    Raises:
        InputError: The blocks cannot be cut: the length does not divide theirs, or a part of them
            would be no block (without the special tokens around it, or of padding alone).
    """

    def __init__(self, whole: BlockStore, length: int) -> None:
        _check(whole, length)
        self.whole = whole
        self._parts = whole.block_size // length
        shards = [shard.reshape(-1, length) for shard in whole.shards]
        padded = _padding_at_end(whole) // length
        if padded:
            shards[-1] = shards[-1][:-padded]
        blocks, old = sum(map(len, shards)), whole.manifest
        manifest = replace(
            old,
            block_size=length,
            blocks=blocks,
            tokens=blocks * length,
            padding_tokens=old.padding_tokens - padded * length,
            checksum=None,
        )
        self._hold(LocalShards(whole.path, manifest, shards))

    def __reduce__(self) -> tuple[Any, ...]:
        return CutStore, (self.whole, self.block_size)

    @property
    def location(self) -> str:
        """Where the store is: its folder, or its URL."""
        return self.whole.location

    @property
    def document_starts(self) -> Sequence[tuple[np.ndarray, np.ndarray]] | None:
        """Where documents begin, as in `BlockStore`; computed anew, in memory."""
        if not self.manifest.document_starts:
            return None
        return [
            self._cut_starts(starts, len(shard))
            for starts, shard in zip(self.whole.document_starts or (), self.shards, strict=True)
        ]

    def _number_documents(
        self, block_ids: np.ndarray, out: np.ndarray, threads: int | None
    ) -> np.ndarray:
        wholes, rows = np.unique(block_ids // np.uint64(self._parts), return_inverse=True)
        numbers = self.whole.document_ids(wholes, threads=threads).reshape(-1, self.block_size)
        own = numbers[rows * self._parts + (block_ids % np.uint64(self._parts)).astype(np.int64)]
        np.subtract(own, own[:, :1], out=out, where=own >= 0)
        out[own < 0] = -1
        return out

    def to_datasets(self) -> Any:
        """Raise InputError: no folder holds these blocks."""
        raise InputError(
            f"The blocks of {str(self.path)!r} are cut into blocks of {self.block_size} tokens "
            "when they are read: `datasets` opens the store's own."
        )

    def verify(self, *, progress: bool = False) -> None:
        """Read every file of the store, as `BlockStore.verify` does."""
        self.whole.verify(progress=progress)

    def _cut_starts(
        self, starts: tuple[np.ndarray, np.ndarray], blocks: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the document starts (offsets, positions) of a shard's first blocks."""
        offsets, positions = starts
        first = np.arange(blocks + 1, dtype=np.int64) * self.block_size
        of_block = np.repeat(np.arange(len(offsets) - 1, dtype=np.int64), np.diff(offsets))
        found = np.union1d(of_block * self.whole.block_size + positions, first)
        ends = np.searchsorted(found, first).astype(np.int32)
        return ends, (found[: ends[-1]] % self.block_size).astype(np.int32)


def _check(whole: BlockStore, length: int) -> None:
    """Raise InputError unless the blocks of a store can be cut into blocks of a length."""
    manifest = whole.manifest
    if manifest.block_size % length:
        reason = f"{length} does not divide {manifest.block_size}"
    elif manifest.special_tokens == "block":
        reason = "each begins and ends with special tokens, which its parts would lack"
    elif manifest.packing == "none":
        reason = "each holds one document, of which parts would be cut off, and its padding"
    elif manifest.packing != "concat":
        reason = "they hold whole documents, which would be cut, and padding"
    else:
        return
    raise InputError(
        f"The blocks of {str(whole.path)!r}, {manifest.block_size} tokens each, cannot be cut into "
        f"blocks of {length}: {reason}. Prepare the text with --block-size {length}."
    )


def _padding_at_end(store: BlockStore) -> int:
    """Count the padding tokens at the end of a store's last block."""
    pad = store.manifest.pad_token_id
    if pad is None or not len(store) or not store.manifest.padding_tokens:
        return 0
    text = np.flatnonzero(store[-1] != pad)
    return store.block_size - (int(text[-1]) + 1 if len(text) else 0)
