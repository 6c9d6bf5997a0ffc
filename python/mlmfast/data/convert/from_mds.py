"""Token lists from MDS shards, the format of MosaicML streaming: columns of numpy arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mlmfast.data.arrow_numpy import arrow_numbers
from mlmfast.data.convert.token_lists import TokenLists
from mlmfast.data.sources.mds.shards import MdsShard, open_shards
from mlmfast.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

_BATCH_ROWS = 10_000
# The codes of the types of integers, where every array names its own.
_TYPES = {
    8: "uint8", 9: "int8", 16: "uint16", 17: "int16", 32: "uint32", 33: "int32", 64: "uint64",
    65: "int64",
}  # fmt: skip


def mds_lists(folder: Path, column: str) -> TokenLists:
    """Open a column of one-dimensional arrays of integers.

    Raises:
        InputError: There is no such column, or it holds something else.
    """
    shards = open_shards(folder)
    encodings = [_encoding(shard, column, folder) for shard in shards]
    given, width = _parsed(encodings[0], column, folder)
    dtype = _first_type(shards, column, folder) if given is None else given
    if set(encodings) != {encodings[0]}:
        raise InputError(
            f"The shards of {str(folder)!r} disagree about the column {column!r}: "
            f"{', '.join(sorted(set(encodings)))}."
        )
    values = pa.from_numpy_dtype(dtype)
    kind = pa.large_list(values) if width is None else pa.list_(values, width)
    own_type = encodings[0] == "ndarray"

    def read() -> Iterator[pa.RecordBatch]:
        for shard in shards:
            data = shard.read()
            starts, stops = shard.column(data, column)
            if width is None:
                starts = _after_header(data, starts, stops, dtype, own_type=own_type, shard=shard)
            for first in range(0, len(starts), _BATCH_ROWS):
                rows = slice(first, first + _BATCH_ROWS)
                lists = _lists(data, starts[rows], stops[rows], dtype, shard)
                yield pa.record_batch([lists.cast(kind)], [column])

    return TokenLists(str(folder), kind, sum(shard.samples for shard in shards), read)


def _first_type(shards: list[MdsShard], column: str, folder: Path) -> np.dtype:
    """Return the type of the first array, which all must have, where each names its own."""
    for shard in shards:
        if shard.samples:
            data = shard.read()
            starts, _ = shard.column(data, column)
            name = _TYPES.get(int(data[starts[0]]))
            if name is not None:
                return np.dtype(name)
            break
    raise InputError(f"The column {column!r} of {str(folder)!r} holds no integers.")


def _encoding(shard: MdsShard, column: str, folder: Path) -> str:
    if column not in shard.names:
        known = ", ".join(map(repr, shard.names))
        raise InputError(f"{str(folder)!r} has no column {column!r}, but {known}: use --column.")
    return shard.encodings[shard.names.index(column)]


def _parsed(encoding: str, column: str, folder: Path) -> tuple[np.dtype | None, int | None]:
    """Return the type and the length of arrays, None where each array has its own.

    The encoding is "ndarray", "ndarray:uint16" or "ndarray:uint16:512".
    """
    name, *given = encoding.split(":")
    if name == "bytes":
        raise InputError(
            f"The column {column!r} of {str(folder)!r} holds bytes, which do not say what kind of "
            "numbers they are: write it with the encoding 'ndarray:uint16' (or uint32 ...)."
        )
    shape = given[1].split(",") if len(given) > 1 else []
    if name != "ndarray" or len(shape) > 1 or (given and np.dtype(given[0]).kind not in "iu"):
        raise InputError(
            f"The column {column!r} of {str(folder)!r} holds {encoding}, not lists of token ids. "
            "Text becomes a store with `mlmfast prepare`."
        )
    dtype = np.dtype(given[0]).newbyteorder("<") if given else None
    return dtype, int(shape[0]) if shape else None


def _after_header(
    data: np.ndarray,
    starts: np.ndarray,
    stops: np.ndarray,
    dtype: np.dtype,
    *,
    own_type: bool,
    shard: MdsShard,
) -> np.ndarray:
    """Return where the numbers of arrays begin, after their type and shape; int64 [rows].

    A byte holds the number of axes and how wide each length is, and the lengths follow.
    """
    if own_type:
        if (stops - starts < 1).any():
            raise shard.damage()
        codes = {_TYPES.get(code) for code in np.unique(data[starts]).tolist()}
        if codes - {dtype.name}:
            raise InputError(f"{str(shard.file)!r} holds arrays of another type than {dtype.name}.")
        starts = starts + 1
    if (stops - starts < 1).any():
        raise shard.damage()
    header = data[starts].astype(np.int64)
    if (header >> 2 != 1).any():
        raise InputError(f"{str(shard.file)!r} holds arrays of several axes, not lists.")
    return starts + 1 + (1 << (header & 3))


def _lists(
    data: np.ndarray, starts: np.ndarray, stops: np.ndarray, dtype: np.dtype, shard: MdsShard
) -> pa.LargeListArray:
    sizes = stops - starts
    if (sizes < 0).any() or (sizes % dtype.itemsize).any():
        raise shard.damage()
    offsets = np.concatenate([[0], np.cumsum(sizes // dtype.itemsize)])
    numbers = b"".join(
        data[start:stop].tobytes()
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)
    )
    values = arrow_numbers(np.frombuffer(numbers, dtype.newbyteorder("=")))
    return pa.LargeListArray.from_arrays(arrow_numbers(offsets), values)
