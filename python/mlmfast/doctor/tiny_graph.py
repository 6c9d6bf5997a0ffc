"""The smallest ONNX graph that computes something: y = x @ x.

Written byte by byte (protocol buffers, https://protobuf.dev/programming-guides/encoding; the fields
of onnx.proto), since a serving environment has onnxruntime and no `onnx`.
"""

from __future__ import annotations

SIZE = 4


def matrix_product() -> bytes:
    """Return an ONNX model with input x and output y, both float32 [SIZE, SIZE]."""
    node = _text(1, "x") + _text(1, "x") + _text(2, "y") + _text(4, "MatMul")
    graph = (
        _field(1, node) + _text(2, "product") + _field(11, _tensor("x")) + _field(12, _tensor("y"))
    )
    opset = _number(2, 13)
    return _number(1, 8) + _field(7, graph) + _field(8, opset)


def _tensor(name: str) -> bytes:
    dimension = _field(1, _number(1, SIZE))
    kind = _number(1, 1) + _field(2, dimension + dimension)
    return _text(1, name) + _field(2, _field(1, kind))


def _number(field: int, value: int) -> bytes:
    return bytes([field << 3, value])


def _text(field: int, text: str) -> bytes:
    return _field(field, text.encode())


def _field(field: int, content: bytes) -> bytes:
    if len(content) > 127:
        raise ValueError(f"A length of {len(content)} takes more than one byte.")
    return bytes([field << 3 | 2, len(content)]) + content
