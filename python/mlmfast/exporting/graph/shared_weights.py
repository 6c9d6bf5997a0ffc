"""Weights stored once: in one file for all graphs of a folder, and tied ones as one matrix."""

from __future__ import annotations

import hashlib
import mmap
from typing import TYPE_CHECKING

import numpy as np

from mlmfast.exporting.graph.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import onnx

# The name under which Optimum looks for the weights of model.onnx, on the Hub too.
WEIGHTS = "model.onnx_data"
# Below this many bytes a tensor stays in its graph, where shape arithmetic can be folded with it.
SMALL = 1024
# onnxruntime maps the file; tensors begin where a page can.
_ALIGNMENT = 4096


def share_weights(graphs: Iterable[Path]) -> None:
    """Move the weights of all `graphs`, which lie in one folder, into one file beside them.

    Tensors of the same bytes are stored once, whichever graph they are in and whatever they are
    called, and so are those that are rows of a matrix before them. The graphs are rewritten in
    place.
    """
    import onnx
    from onnx import TensorProto
    from onnx.external_data_helper import load_external_data_for_model, set_external_data

    graphs = list(graphs)
    folder = graphs[0].parent
    stored: dict[bytes, tuple[int, int]] = {}
    matrices = _Matrices()
    old: set[Path] = set()
    end = 0
    target = folder / f"{WEIGHTS}.new"
    with target.open("wb") as file:
        for path in graphs:
            model = onnx.load(str(path), load_external_data=False)
            old |= {folder / location for location in _locations(model)}
            load_external_data_for_model(model, str(folder))
            for tensor in model.graph.initializer:
                data = _bytes(tensor)
                if len(data) < SMALL:
                    continue
                key = hashlib.sha256(data).digest()
                if key not in stored and (place := matrices.find(tensor, data, target)) is not None:
                    stored[key] = (place, len(data))
                if key not in stored:
                    end = file.seek(-(-end // _ALIGNMENT) * _ALIGNMENT)
                    stored[key] = (end, len(data))
                    matrices.add(tensor, end, len(data))
                    end += file.write(data)
                    file.flush()
                offset, length = stored[key]
                tensor.raw_data = data
                set_external_data(tensor, WEIGHTS, offset, length)
                for field in ("raw_data", "float_data", "int32_data", "int64_data"):
                    tensor.ClearField(field)
                tensor.data_location = TensorProto.EXTERNAL
            path.write_bytes(model.SerializeToString())
    for path in old:
        path.unlink()
    target.replace(folder / WEIGHTS)


class _Matrices:
    """The matrices in the file, in which blocks of their rows are found."""

    def __init__(self) -> None:
        self._places: dict[tuple[int, ...], list[tuple[int, int]]] = {}

    def add(self, tensor: onnx.TensorProto, offset: int, length: int) -> None:
        """Note where a tensor begins, and how many bytes it has."""
        self._places.setdefault(_rows_alike(tensor), []).append((offset, length))

    def find(self, tensor: onnx.TensorProto, data: bytes, file: Path) -> int | None:
        """Return where `data`, the rows of a tensor, lies within a larger one; None: nowhere."""
        larger = [
            place for place in self._places.get(_rows_alike(tensor), ()) if place[1] > len(data)
        ]
        if not larger:
            return None
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as m:
            for offset, length in larger:
                found = m.find(data, offset, offset + length)
                if found >= 0 and (found - offset) % (len(data) // tensor.dims[0]) == 0:
                    return found
        return None


def _rows_alike(tensor: onnx.TensorProto) -> tuple[int, ...]:
    """Return what tensors have in common that may be rows of each other."""
    return (tensor.data_type, *tensor.dims[1:])


def _locations(model: onnx.ModelProto) -> set[str]:
    return {
        entry.value
        for tensor in model.graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }


def _bytes(tensor: onnx.TensorProto) -> bytes:
    from onnx import numpy_helper

    raw: bytes = tensor.raw_data
    return raw or np.ascontiguousarray(numpy_helper.to_array(tensor)).tobytes()


def tie_decoder(model: onnx.ModelProto) -> bool:
    """Let the head use the embedding itself where its matrix is the embedding's transpose.

    The tracer writes the transpose as a matrix of its own. The product becomes a Gemm, which
    takes the embedding as it lies: stored once, it is as fast as the MatMul was.

    Returns:
        Whether a product was changed.
    """
    graph = Graph(model)
    changed = False
    for node in list(graph.nodes):
        if node.op_type != "MatMul" or node.input[1] not in graph.initializers:
            continue
        twin = _transposed_twin(graph, node.input[1])
        if twin is not None:
            _as_gemm(graph, node, twin)
            changed = True
    if changed:
        graph.finish()
    return changed


def _transposed_twin(graph: Graph, name: str) -> str | None:
    tensor = graph.initializers[name]
    if len(tensor.dims) != 2 or np.prod(tensor.dims) * 4 < SMALL:
        return None
    shape = list(tensor.dims)[::-1]
    alike = [
        other.name
        for other in graph.initializers.values()
        if other.name != name and list(other.dims) == shape and other.data_type == tensor.data_type
    ]
    ours = graph.constant(name) if alike else None
    for other in alike:
        theirs = graph.constant(other)
        if ours is None or theirs is None:
            continue
        # Nearly all differ in one row, which is soon read.
        if np.array_equal(ours[:, 0], theirs[0]) and np.array_equal(ours.T, theirs):
            return other
    return None


def _as_gemm(graph: Graph, node: onnx.NodeProto, embedding: str) -> None:
    from onnx import helper

    vocab_size, width = graph.initializers[embedding].dims
    flat = graph.add("Reshape", [node.input[0], graph.add_constant([-1, width])])
    inputs, output = [flat, embedding], node.output[0]
    replaced = [node]
    users = graph.users.get(output, [])
    if len(users) == 1 and users[0].op_type == "Add":
        bias = next(name for name in users[0].input if name != output)
        if list(getattr(graph.initializers.get(bias), "dims", ())) == [vocab_size]:
            inputs.append(bias)
            output = users[0].output[0]
            replaced.append(users[0])
    product = graph.add("Gemm", inputs, transB=1)
    shape = graph.add("Shape", [node.input[0]])
    rows = graph.add("Slice", [shape, graph.add_constant([0]), graph.add_constant([-1])])
    target = graph.add("Concat", [rows, graph.add_constant([vocab_size])], axis=0)
    graph.nodes = [other for other in graph.nodes if all(other is not old for old in replaced)]
    graph.nodes.append(
        helper.make_node("Reshape", [product, target], [output], name=f"{product}_rows")
    )
