r"""A block store as an indexed data set of Megatron-LM and NeMo: `NAME.bin` and `NAME.idx`.

The index, version 1, little-endian and without gaps: the 9 bytes `MMIDIDX\0\0`; the version,
uint64; a code for the type of the ids, uint8; the number of sequences, uint64; the number of
document boundaries, uint64; then the sequences' lengths in ids, int32 each, where they begin in the
.bin in bytes, int64 each, and the number of the sequence at which each document begins, int64 each,
with the number of sequences as the last one. (Megatron-LM, megatron/core/datasets/
indexed_dataset.py.)
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from mlmfast.data.convert.document_spans import document_spans
from mlmfast.data.convert.raw import write_ids
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlmfast.data.store.store import BlockStore

_MAGIC = b"MMIDIDX\x00\x00"
_VERSION = 1
# The format has no uint32; larger vocabularies use int32, as with Megatron's own tools.
_UINT16, _INT32 = 8, 4
# Entries of the index written at a time.
_CHUNK_ENTRIES = 1 << 20


def write_megatron(
    store: BlockStore, folder: Path, name: str, advance: Callable[[int], object]
) -> list[str]:
    """Write `store` into `folder` as `name`.bin and `name`.idx.

    A document of the index is a document of the store, or the part of it that lies in one block,
    without padding; a whole block if the store does not know where documents begin.

    Returns:
        The names of the files.

    Raises:
        InputError: The vocabulary has more ids than int32 can represent.
    """
    small = store.dtype.itemsize == 2
    code, kind = (_UINT16, np.dtype("<u2")) if small else (_INT32, np.dtype("<i4"))
    if not small and store.manifest.vocab_size > 1 << 31:
        raise InputError(
            f"{str(store.path)!r} has a vocabulary of {store.manifest.vocab_size:,}; an index of "
            "Megatron holds ids below 2,147,483,648."
        )
    write_ids(store, folder / f"{name}.bin", kind, advance)
    count = sum(len(lengths) for _, lengths in document_spans(store))
    with (folder / f"{name}.idx").open("wb") as file:
        file.write(_MAGIC + struct.pack("<QBQQ", _VERSION, code, count, count + 1))
        for _, lengths in document_spans(store):
            file.write(lengths.astype("<i4").data)
        for starts, _ in document_spans(store):
            file.write((starts * kind.itemsize).astype("<i8").data)
        for start in range(0, count + 1, _CHUNK_ENTRIES):
            file.write(np.arange(start, min(count + 1, start + _CHUNK_ENTRIES), dtype="<i8").data)
    return [f"{name}.bin", f"{name}.idx"]
