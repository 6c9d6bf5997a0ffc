"""Tensors of the Open Inference Protocol, in JSON or as bytes after the JSON.

https://github.com/kserve/open-inference-protocol and Triton's binary tensor data extension.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmfast.serving.http.errors import HTTPError

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTEGERS: dict[str, np.dtype[Any]] = {
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
}
FLOAT: np.dtype[Any] = np.dtype("<f4")
_LENGTH_BYTES = 4


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named array, flat.

    Attributes:
        values: strings for BYTES, otherwise numbers; in row-major order.
    """

    name: str
    datatype: str
    shape: list[int]
    values: Sequence[Any]

    def as_json(self) -> dict[str, Any]:
        """Return its description with its values."""
        return {**self._description(), "data": list(self.values)}

    def as_binary(self) -> tuple[dict[str, Any], bytes]:
        """Return its description, and its values as bytes."""
        if self.datatype == "BYTES":
            parts = [value.encode() for value in self.values]
            data = b"".join(len(part).to_bytes(_LENGTH_BYTES, "little") + part for part in parts)
        else:
            kind = FLOAT if self.datatype == "FP32" else _INTEGERS[self.datatype]
            data = np.array(self.values, kind).tobytes()
        return {**self._description(), "parameters": {"binary_data_size": len(data)}}, data

    def _description(self) -> dict[str, Any]:
        return {"name": self.name, "datatype": self.datatype, "shape": self.shape}


def strings_of(name: str, shape: Sequence[int], data: Any, binary: bytes | None) -> list[str]:
    """Read a BYTES tensor.

    Args:
        name: its name in messages.
        shape: its shape in the request.
        data: its values in JSON, flat or nested; None if they are binary.
        binary: its values as bytes, each after its length.

    Raises:
        HTTPError: it is not UTF-8, or has another number of values than its shape says.
    """
    if not shape or any(length != 1 for length in shape[1:2]) or len(shape) > 2:
        raise _bad(name, f"has the shape {list(shape)}, and must have [n] or [n, 1]")
    _check_lengths(name, shape)
    values = _flat(name, data) if binary is None else _split(name, binary)
    strings = [_string(name, value) for value in values]
    _check_count(name, shape, len(strings))
    return strings


def integer_of(
    name: str, datatype: str, shape: Sequence[int], data: Any, binary: bytes | None
) -> int:
    """Read a tensor of one integer.

    Raises:
        HTTPError: it has another content.
    """
    kind = _INTEGERS.get(datatype)
    if kind is None:
        raise _bad(name, f"has the datatype {datatype[:20]!r}, and must hold an integer")
    _check_lengths(name, shape)
    if binary is None:
        values = _flat(name, data)
    elif len(binary) % kind.itemsize:
        raise _bad(name, f"has {len(binary)} bytes, which are no whole number of {datatype}")
    else:
        values = np.frombuffer(binary, kind).tolist()
    _check_count(name, shape, len(values))
    if len(values) != 1 or not isinstance(values[0], int) or isinstance(values[0], bool):
        raise _bad(name, "must hold one integer")
    limits = np.iinfo(kind)
    if not limits.min <= values[0] <= limits.max:
        raise _bad(name, f"holds a value that is no {datatype}")
    return values[0]


def _flat(name: str, data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise _bad(name, "has no data: give a list, or binary data")
    if data and isinstance(data[0], list):  # nested by one level, for a shape [n, 1]
        if not all(isinstance(row, list) for row in data):
            raise _bad(name, "mixes values and lists")
        return [value for row in data for value in row]
    return data


def _split(name: str, binary: bytes) -> list[bytes]:
    values, start = [], 0
    while start < len(binary):
        end = start + _LENGTH_BYTES
        length = int.from_bytes(binary[start:end], "little")
        if end + length > len(binary):
            raise _bad(name, "is cut short: its lengths do not add up to its bytes")
        values.append(binary[end : end + length])
        start = end + length
    return values


def _string(name: str, value: Any) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise _bad(name, f"holds bytes that are no UTF-8: {error.reason}") from None
    if not isinstance(value, str):
        raise _bad(name, f"holds {type(value).__name__}, and must hold strings")
    return value


def _check_lengths(name: str, shape: Sequence[int]) -> None:
    if any(length < 0 for length in shape):
        raise _bad(name, f"has the shape {list(shape)}, and no length may be below 0")


def _check_count(name: str, shape: Sequence[int], count: int) -> None:
    if math.prod(shape) != count:
        raise _bad(name, f"has the shape {list(shape)[:8]} and {count} values")


def _bad(name: str, problem: str) -> HTTPError:
    return HTTPError(400, "bad_tensor", f"The input {name[:80]!r} {problem}.")
