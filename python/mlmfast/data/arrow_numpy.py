"""Converting between numpy and Arrow without pandas.

`pyarrow.array`, `pyarrow.scalar` and `to_numpy` would do the same, but import pandas if it is
installed, which takes a second at every start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable


def arrow_numbers(values: np.ndarray) -> pa.Array:
    """Return a numpy array of numbers [count] as an Arrow array, without a copy."""
    values = np.ascontiguousarray(values)
    buffers = [None, pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), buffers)


def numpy_numbers(array: pa.Array) -> np.ndarray:
    """Return an Arrow array of numbers or booleans as numpy's [count]; nulls are undefined."""
    if pa.types.is_boolean(array.type):
        return numpy_numbers(array.cast(pa.uint8())).view(np.bool_)
    values = np.frombuffer(array.buffers()[1], array.type.to_pandas_dtype())
    return values[array.offset : array.offset + len(array)]


def text_offsets(texts: pa.Array) -> np.ndarray:
    """Return the offsets of a LargeString or LargeBinary array, int64 [count + 1]."""
    if not len(texts):
        return np.zeros(1, np.int64)
    offsets = np.frombuffer(texts.buffers()[1], np.int64)
    return offsets[texts.offset : texts.offset + len(texts) + 1]


def text_bytes(texts: pa.Array) -> int:
    """Return the total bytes of the texts of a LargeString or LargeBinary array without nulls."""
    offsets = text_offsets(texts)
    return int(offsets[-1] - offsets[0])


def arrow_texts(texts: Iterable[str]) -> pa.Array:
    """Return texts as a LargeString array [count]."""
    encoded = [text.encode() for text in texts]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.large_string(), len(encoded), buffers)


def one_text(value: bytes) -> pa.Array:
    """Return a LargeBinary array of one value, without a copy."""
    offsets = pa.py_buffer(np.array([0, len(value)], np.int64))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, pa.py_buffer(value)])
